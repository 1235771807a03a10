"""The chart for Kubernetes: in step with the services, as far as can be read without `helm`."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from deploy.all_in_one import service_for
from deploy.cli.init import DEPLOY, SECRETS
from deploy.service_table import PORTS

CHART: Final = DEPLOY / "helm" / "latchkey"
TEMPLATES: Final = {path.name: path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir()}
VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


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


def test_a_process_that_hangs_is_replaced_everywhere() -> None:
    """Compose starts each service under a watchdog, since its engine restarts only what ends; the chart has a probe.

    The probe asks the event loop and nothing else, so that no outage of a store restarts anything.
    """
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in PORTS:
        command = compose[name.replace("-", "_")]["command"]
        assert command[:2] == ["serve", name]
        assert 0 < float(command[command.index("--watchdog") + 1]) <= 30, name
    [probe] = re.findall(r"livenessProbe: (\{.*\})", TEMPLATES["services.yaml"])
    liveness = yaml.safe_load(probe)
    assert liveness["httpGet"]["path"] == "/livez"
    assert liveness["periodSeconds"] * liveness["failureThreshold"] <= 30
    assert liveness["terminationGracePeriodSeconds"] <= 10


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
