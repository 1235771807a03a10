"""The chart for Kubernetes: in step with the services, and rendered where there is a `helm`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.all_in_one import service_for
from deploy.cli.init import DEPLOY, SECRETS
from deploy.service_table import PORTS

CHART: Final = DEPLOY / "helm" / "latchkey"
TEMPLATES: Final = {path.name: path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir()}
VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

HELM: Final = shutil.which("helm")


def _services() -> dict[str, Any]:
    block = re.search(r'define "latchkey.services" -}}\n(.*?)\{\{- end', TEMPLATES["_helpers.tpl"], re.DOTALL)
    assert block is not None
    services: dict[str, Any] = yaml.safe_load(block[1])
    return services


def test_services_are_those_of_the_command_line() -> None:
    """Names and ports are what `serve` knows."""
    assert {name: service["port"] for name, service in _services().items()} == PORTS


def test_each_service_gets_the_secrets_that_compose_gives_it() -> None:
    """No more and no less, and all are made by `init`."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name, service in _services().items():
        assert sorted(service["secrets"].values()) == sorted(compose[name.replace("-", "_")]["secrets"]), name
        assert set(service["secrets"].values()) <= set(SECRETS)


def test_every_value_that_is_read_has_a_default() -> None:
    """A misspelt value would silently be empty."""
    for name, text in TEMPLATES.items():
        for path in re.findall(r"\.Values\.([A-Za-z.]+)", text):
            found: Any = VALUES
            for part in path.split("."):
                assert part in found, f"{name}: {path}"
                found = found[part]


def test_the_ingress_routes_as_the_proxy_does() -> None:
    """Each path leads to the service that owns it."""
    text = TEMPLATES["ingress.yaml"]
    exact, rest = text.split('"/api" "/.well-known"')
    for path in re.findall(r'"(/[^"]+)"', exact):
        assert service_for(path) == "key_issuer", path
    for path in ("/livez", "/readyz", "/metrics"):
        assert f'"{path}"' in rest


@pytest.mark.parametrize("keda", ["true", "false"])
@pytest.mark.parametrize("scaling", ["true", "false"])
def test_renders(tmp_path: Path, keda: str, scaling: str) -> None:
    """As far as this machine allows: with `helm`, every combination gives well-formed objects with unique names."""
    if HELM is None:
        assert (CHART / "Chart.yaml").is_file()
        return
    switches = [
        f"keda.enabled={keda}",
        f"keyIssuer.autoscaling.enabled={scaling}",
        "serviceMonitor.enabled=true",
        "tracing.endpoint=http://collector:4318",
    ]
    command = [
        HELM,
        "template",
        "lk",
        str(CHART),
        "--kube-version",
        "1.30.0",
        "--set",
        ",".join(switches),
        "--set-string",
        "permissions=x = 1",
    ]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    objects = [one for one in yaml.safe_load_all(rendered) if one]
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    kinds = {kind for kind, _name in names}
    assert {"Deployment", "Service", "Job", "NetworkPolicy", "PodDisruptionBudget", "Ingress"} <= kinds
    assert ("ScaledObject" in kinds) == (keda == "true")
    assert ("HorizontalPodAutoscaler" in kinds) == (scaling == "true" and keda == "false")
    for one in objects:
        if one["kind"] in ("Deployment", "Job"):
            (container,) = one["spec"]["template"]["spec"]["containers"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert one["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 10001
