"""Every container of compose and of the chart: least rights, pinned images, and no secret where `ps` shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import yaml

from deploy.cli.init import DEPLOY

OURS: Final = "10001:10001"
STARTS_AS_ROOT: Final[Mapping[str, frozenset[str]]] = {
    # What each needs until it has let go of root, and no more.
    "postgres": frozenset({"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}),
    "redis": frozenset({"CHOWN", "DAC_OVERRIDE", "SETGID", "SETPCAP", "SETUID"}),
    "proxy": frozenset({"NET_BIND_SERVICE"}),
}
DIGEST: Final = re.compile(r"\$\{[A-Z_]+:-[a-z0-9./-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}\}")
SECRET_NAME: Final = re.compile(r"PASSWORD|SECRET|PEPPER|TOKEN|AUTH$|(?:DATABASE|REDIS)_URL|HEADERS")
SECRET_ARGUMENT: Final = re.compile(
    r"pass(?:word|wd)?\b|secret|pepper|token|requirepass|(?:^|\s)-a(?:\s|$)|://[^/\s]*:[^/\s]*@",
    re.IGNORECASE,
)
"""A word of a command line that a password may stand behind."""
CHART: Final = DEPLOY / "helm" / "latchkey" / "templates"


def _containers() -> Iterator[Any]:
    for file in sorted(DEPLOY.glob("compose*.yaml")):
        for name, service in yaml.safe_load(file.read_text(encoding="utf-8"))["services"].items():
            if "image" in service:  # else it adds to one that is described elsewhere
                yield pytest.param(name, service, id=f"{file.name}-{name}")


containers = pytest.mark.parametrize(("name", "service"), list(_containers()))


def test_there_are_containers_to_look_at() -> None:
    """All of both files."""
    assert len(list(_containers())) >= 10


@containers
def test_a_container_has_no_right_that_it_does_not_need(name: str, service: dict[str, Any]) -> None:
    """No capability but those named here, none to be had by a program with more, and a file system that stays as it is."""
    assert service["cap_drop"] == ["ALL"]
    assert frozenset(service.get("cap_add", ())) == STARTS_AS_ROOT.get(name, frozenset())
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not {"privileged", "pid", "ipc", "network_mode", "devices", "userns_mode"} & set(service)


@containers
def test_a_container_runs_as_nobody_in_particular(name: str, service: dict[str, Any]) -> None:
    """A number other than root's, so that no image can give it another meaning."""
    if name in STARTS_AS_ROOT:
        assert "user" not in service
        return
    number = service["user"].partition(":")[0]
    assert number.isdigit()
    assert number != "0"
    assert "build" not in service or service["user"] == OURS


@containers
def test_what_is_pulled_is_pinned(name: str, service: dict[str, Any]) -> None:
    """By digest: whoever can move a tag cannot change what runs here."""
    assert name
    if "build" not in service:
        assert DIGEST.fullmatch(service["image"]), service["image"]
    else:
        assert DIGEST.fullmatch(service["build"]["args"]["PYTHON_IMAGE"])


@containers
def test_no_secret_is_in_the_arguments(name: str, service: dict[str, Any]) -> None:
    """Arguments are for everybody on the machine to read; secrets come in files."""
    assert name
    given = [service.get("command", ""), service.get("entrypoint", "")]
    given.append(service.get("healthcheck", {}).get("test", ""))
    for words in given:
        line = words if isinstance(words, str) else " ".join(words)
        # How PostgreSQL is to keep passwords is none.
        assert not SECRET_ARGUMENT.search(line.replace("password_encryption=scram-sha-256", "")), line
    for variable in service.get("environment", ()):
        if SECRET_NAME.search(variable):
            assert variable.endswith("_FILE") or variable == "OTEL_EXPORTER_OTLP_HEADERS", variable


def test_what_the_other_files_add_is_added_to_what_is_there() -> None:
    """A misspelt service would be a container of its own; and all that they hand out is a file of deploy/secrets."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for file in ("compose.https.yaml", "compose.oidc.yaml", "compose.authority.yaml"):
        for name, service in yaml.safe_load((DEPLOY / file).read_text(encoding="utf-8"))["services"].items():
            assert name in compose, file
            named = set(service.get("environment", {}).values())
            mounted = {volume.split(":")[1] for volume in service.get("volumes", ())}
            assert named == mounted, f"{file}: {name}"
            for volume in service.get("volumes", ()):
                assert volume.startswith("./secrets/"), file
                assert volume.endswith(":ro"), file


def test_the_operator_looks_out_as_the_services_do() -> None:
    """`doctor` in its container judges their way out: the same networks, settings and authorities."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    services = (compose["auth_api"], compose["key_issuer"])
    own = {"LATCHKEY_LEAK_PARTNER_KEYS"}  # it may name a file that key_issuer alone has: asked there
    for service in services:
        assert set(service["networks"]) <= set(compose["operator"]["networks"])
        assert set(service["environment"]) - own <= set(compose["operator"]["environment"])
    for file in ("compose.oidc.yaml", "compose.authority.yaml"):
        added = yaml.safe_load((DEPLOY / file).read_text(encoding="utf-8"))["services"]
        assert added["operator"] == added["auth_api"], file


def test_the_image_is_built_from_a_pinned_one_and_runs_unprivileged() -> None:
    """Also by `docker build` alone, without compose; and no secret is an argument of the build."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    arguments = re.findall(r"^ARG (\w+)(?:=(\S+))?$", text, re.MULTILINE)
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    pinned = compose["auth_api"]["build"]["args"]["PYTHON_IMAGE"]
    assert [(name, f"${{{name}:-{default}}}") for name, default in arguments] == [("PYTHON_IMAGE", pinned)]
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE))
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages == {"${PYTHON_IMAGE}"}
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == [OURS]


def test_every_container_of_the_chart_has_the_same_limits() -> None:
    """As far as can be read without `helm`: each pod and container takes them from one place, and this is what it says."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in CHART.iterdir()}
    for name, text in texts.items():
        pods = text.count("spec:\n      automountServiceAccountToken: false") + text.count(
            "restartPolicy: Never\n      automountServiceAccountToken: false"
        )
        images = len(re.findall(r"^ +image: ", text, re.MULTILINE))
        assert text.count('include "latchkey.podSecurity"') == pods == text.count("containers:"), name
        assert text.count('include "latchkey.containerSecurity"') == images == pods, name
        assert images == text.count('image: {{ include "latchkey.image"'), name
        for line in re.findall(r"^ +(?:args|command): .*$", text, re.MULTILINE):
            assert not SECRET_ARGUMENT.search(line), f"{name}: {line}"
        for variable, kind in re.findall(r"- \{name: (\S*?), (value\w*): ", text):
            assert kind == "value", name
            assert not SECRET_NAME.search(variable) or variable.endswith("_FILE"), f"{name}: {variable}"
    assert sum(text.count("containers:") for text in texts.values()) == 2
    helpers = texts["_helpers.tpl"]
    for line in (
        "runAsNonRoot: true",
        "runAsUser: 10001",
        "seccompProfile: {type: RuntimeDefault}",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: {drop: [ALL]}",
    ):
        assert f"\n{line}\n" in helpers, line
    image = helpers.partition('define "latchkey.image"')[2].partition("define")[0]
    assert "{{- with .Values.image.digest }}@{{ . }}{{ end }}" in image
