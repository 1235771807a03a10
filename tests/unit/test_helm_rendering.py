"""The chart as `helm` renders it. Collected where there is one, on PATH or named by LATCHKEY_HELM."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.cli.init import DEPLOY
from tests.unit.helm import HELM

CHART: Final = DEPLOY / "helm" / "latchkey"


def _rendered(folder: Path, values: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Every object, by kind and name. JSON is YAML, so a file of values may be JSON."""
    assert HELM is not None
    file = folder / "values.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    command = [HELM, "template", "lk", str(CHART), "--kube-version", "1.30.0", "--values", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    objects = [one for one in yaml.safe_load_all(ended.stdout) if one]
    found = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert len(found) == len(objects)
    return found


@pytest.mark.parametrize("keda", [True, False])
@pytest.mark.parametrize("scaling", [True, False])
def test_renders(tmp_path: Path, *, keda: bool, scaling: bool) -> None:
    """Every way of scaling gives well-formed objects, of which those of ours run without rights."""
    objects = _rendered(
        tmp_path,
        {
            "keda": {"enabled": keda},
            "keyIssuer": {"autoscaling": {"enabled": scaling}},
            "serviceMonitor": {"enabled": True},
            "tracing": {"endpoint": "http://collector:4318"},
            "permissions": "x = 1",
        },
    )
    kinds = {kind for kind, _name in objects}
    assert {"Deployment", "Service", "Job", "NetworkPolicy", "PodDisruptionBudget", "Ingress"} <= kinds
    assert ("ScaledObject" in kinds) == keda
    assert ("HorizontalPodAutoscaler" in kinds) == (scaling and not keda)
    for (kind, _name), one in objects.items():
        if kind in ("Deployment", "Job"):
            pod = one["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] == 10001


def test_an_image_can_be_pinned(tmp_path: Path) -> None:
    """By the digest of what was pushed; anything else in its place is refused."""
    digest = "sha256:" + "a" * 64
    objects = _rendered(tmp_path, {"image": {"repository": "example/latchkey", "tag": "1", "digest": digest}})
    (container,) = objects["Deployment", "lk-key-issuer"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"example/latchkey:1@{digest}"
    with pytest.raises(AssertionError, match="digest"):
        _rendered(tmp_path, {"image": {"digest": "latest"}})


def test_nobody_named_is_nobody_let_through(tmp_path: Path) -> None:
    """Kubernetes reads a rule without peers as everybody: an empty list must leave the rule out."""
    lists = (
        "ingressFrom",
        "metricsFrom",
        "verifyFrom",
        "postgresTo",
        "redisTo",
        "tracesTo",
        "providerTo",
        "calledTo",
    )
    values = {
        "networkPolicy": {name: [] for name in lists},
        "tracing": {"endpoint": "http://c:4318"},
        "settings": {"OIDC_ISSUER": "https://id.example.com"},
    }
    policies = [one for (kind, _name), one in _rendered(tmp_path, values).items() if kind == "NetworkPolicy"]
    assert len(policies) == 4
    for policy in policies:
        assert not policy["spec"].get("ingress")
        opened = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
        assert opened == [53, 53]


def test_only_key_issuer_is_asked_by_apis(tmp_path: Path) -> None:
    """Those of `verifyFrom` reach key_issuer, also where nobody else is named."""
    peer = {"podSelector": {"matchLabels": {"app": "api"}}}
    values = {"networkPolicy": {"ingressFrom": [], "metricsFrom": [], "verifyFrom": [peer]}}
    objects = _rendered(tmp_path, values)
    (rule,) = objects["NetworkPolicy", "lk-key-issuer"]["spec"]["ingress"]
    assert rule["from"] == [peer]
    assert not objects["NetworkPolicy", "lk-auth-api"]["spec"].get("ingress")


def test_settings_arrive_as_they_were_written(tmp_path: Path) -> None:
    """Neither YAML's booleans nor Helm's floats get into a variable."""
    settings = {"SIGN_UP_LIMIT": 1_000_000, "REGISTRATION": True, "THROTTLE": False, "SITE_NAME": "1e6"}
    data = _rendered(tmp_path, {"settings": settings})["ConfigMap", "lk-settings"]["data"]
    assert {name: data[f"LATCHKEY_{name}"] for name in settings} == {
        "SIGN_UP_LIMIT": "1000000",
        "REGISTRATION": "on",
        "THROTTLE": "off",
        "SITE_NAME": "1e6",
    }


def test_what_users_give_is_called_outside_alone_and_by_two_services(tmp_path: Path) -> None:
    """Never by the pages; a proxy's password is in the Secret, which those two read, and never among the settings."""
    objects = _rendered(tmp_path, {"outgoingProxy": {"secret": True}})
    for name in ("auth-api", "consent-ui", "key-issuer"):
        rules = objects["NetworkPolicy", f"lk-{name}"]["spec"]["egress"]
        called = [rule["to"] for rule in rules if {"port": 1, "endPort": 65535} in rule["ports"]]
        assert len(called) == (name != "consent-ui")
        assert all("169.254.0.0/16" in peer["ipBlock"]["except"] for peers in called for peer in peers)
        assert ("outgoing_proxy" in json.dumps(objects["Deployment", f"lk-{name}"])) == (name != "consent-ui")
    assert "outgoing_proxy" not in json.dumps(list(_rendered(tmp_path, {}).values()))
    with pytest.raises(AssertionError, match="OUTGOING_PROXY"):
        _rendered(tmp_path, {"settings": {"OUTGOING_PROXY": "http://u:in-clear@egress:3128"}})


def test_authorities_of_the_operator_are_believed(tmp_path: Path) -> None:
    """By all three services, from a file that is there; without them nothing names one. What is no certificate is refused."""
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    objects, without = _rendered(tmp_path, {"authorities": pem}), _rendered(tmp_path, {})
    assert objects["ConfigMap", "lk-authorities"]["data"] == {"authorities.pem": pem}
    file = objects["ConfigMap", "lk-settings"]["data"]["SSL_CERT_FILE"]
    for name in ("auth-api", "consent-ui", "key-issuer"):
        pod = objects["Deployment", f"lk-{name}"]["spec"]["template"]["spec"]
        (mounted,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "authorities")
        assert f"{mounted['mountPath']}/authorities.pem" == file
        assert {"name": "authorities", "configMap": {"name": "lk-authorities"}} in pod["volumes"]
    assert "authorities" not in json.dumps(list(without.values()))
    assert "SSL_CERT_FILE" not in json.dumps(list(without.values()))
    with pytest.raises(AssertionError, match="authorities"):
        _rendered(tmp_path, {"authorities": "/etc/ssl/ours.pem"})


def test_auth_api_alone_reaches_the_openid_provider_and_has_its_secret(tmp_path: Path) -> None:
    """Only where one is set; the secret is never among the settings, which every service reads."""
    values: dict[str, Any] = {
        "settings": {"OIDC_ISSUER": "https://id.example.com"},
        "oidc": {"clientSecret": True},
    }
    with_it, without = _rendered(tmp_path, values), _rendered(tmp_path, {})
    for name in ("auth-api", "consent-ui", "key-issuer"):
        rules = with_it["NetworkPolicy", f"lk-{name}"]["spec"]["egress"]
        assert ([{"port": 443}] in [rule["ports"] for rule in rules]) == (name == "auth-api")
        pod = json.dumps(with_it["Deployment", f"lk-{name}"])
        assert ("oidc_client_secret" in pod) == (name == "auth-api")
    assert "oidc_client_secret" not in json.dumps(list(without.values()))
    assert "443" not in json.dumps(without["NetworkPolicy", "lk-auth-api"])
    with pytest.raises(AssertionError, match="OIDC_CLIENT_SECRET"):
        _rendered(tmp_path, {"settings": {"OIDC_CLIENT_SECRET": "in clear"}})
