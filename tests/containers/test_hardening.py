"""What the containers cannot do, and what nobody can read off them."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import pytest
import yaml

from tests.containers.deployment import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]

SERVICES: Final = ("auth_api", "consent_ui", "key_issuer", "postgres", "redis", "proxy")
NUMBERS: Final = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
}
SERVERS: Final = {"postgres": "postgres", "redis": "redis-server"}
"""Services whose container starts as root: the program that must not be root."""
LOOKS: Final = 100
"""At the arguments of processes until all are looked at: one that is no newer than the last such look rarely changes its own."""
WRITABLE: Final = {"postgres": "/var/lib/postgresql/latchkey/x", "redis": "/data/x"}


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_changes_a_containers_files(deployment: Deployment, service: str) -> None:
    """Not even its root: the programs and their settings stay what was built."""
    (container, *_) = deployment.containers(service)
    assert deployment.inspect(container, "{{.HostConfig.ReadonlyRootfs}}") == "true"
    told = deployment.touch_as_root(container, "/x", "/etc/x", "/usr/x", "/usr/bin/x", "/var/x")
    for path, said in told.items():
        assert "Read-only file system" in said, path
    if service in WRITABLE:
        deployment.inside(container, "sh", "-ec", f"touch {WRITABLE[service]}; rm {WRITABLE[service]}")


@pytest.mark.parametrize("service", SERVICES)
def test_no_container_can_gain_a_right(deployment: Deployment, service: str) -> None:
    """Whoever breaks out of a server has the capabilities that compose.yaml names, at the very most."""
    (container, *_) = deployment.containers(service)
    compose = yaml.safe_load((deployment.folder / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    allowed = sum(1 << NUMBERS[name] for name in compose["services"][service].get("cap_add", ()))
    processes = _processes(deployment, container)
    assert processes
    for status in processes.values():
        assert int(status["CapBnd"], 16) & ~allowed == 0, status
        assert status["NoNewPrivs"] == "1", status


@pytest.mark.parametrize("service", SERVERS)
def test_a_stores_server_is_not_root(deployment: Deployment, service: str) -> None:
    """Its container starts as root, to own its data; of the server no process has root's number or any capability."""
    (container,) = deployment.containers(service)
    servers = [one for one in _processes(deployment, container).values() if one["Name"] == SERVERS[service]]
    assert servers
    for status in servers:
        assert "0" not in status["Uid"].split(), status
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, status


def test_no_password_is_in_anybodys_arguments(deployment: Deployment) -> None:
    """Not while all run, nor while the stores start, are asked for their health, or an operator changes a password."""
    secrets = _secrets(deployment)
    assert len(secrets) >= 17
    for service in SERVICES:
        for container in deployment.containers(service):
            shown = deployment.inside(container, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
            assert len(shown) > 10
            assert not [secret for secret in secrets if secret in shown], service
    fresh = "f" * 48
    with _watched_arguments() as seen:
        deployment.compose("restart", "-t", "10", "redis", "postgres")
        deployment.wait_until_healthy("redis", "postgres")
        (redis,) = deployment.containers("redis")
        deployment.inside(
            redis, "sh", "/etc/redis-latchkey/add-password.sh", "consent_ui", typed=f"{fresh}\n"
        )
        deployment.operator_shell("latchkey bus status --json; latchkey doctor")
    shown = "\n".join(seen)
    assert "redis-server" in shown
    assert "add-password.sh consent_ui" in shown
    assert not [secret for secret in (*secrets, fresh) if secret in shown]
    deployment.wait_until_ready()


def _processes(deployment: Deployment, container: str) -> dict[str, dict[str, str]]:
    """A container's processes: what /proc/…/status says of each."""
    script = 'for one in /proc/[0-9]*; do echo "# $one"; cat $one/status; done 2>/dev/null || true'
    texts = deployment.inside(container, "sh", "-c", script).split("# /proc/")[1:]
    found = {}
    for text in texts:
        number, _, lines = text.partition("\n")
        status = dict(re.findall(r"^(\w+):\s+(.*?)\s*$", lines, re.MULTILINE))
        if "CapEff" in status:  # else it ended while it was looked at
            found[number] = status
    return found


def _secrets(deployment: Deployment) -> set[str]:
    """Every secret of the deployment, and of a URL also the password alone."""
    found = set()
    for file in (deployment.folder / "deploy" / "secrets").iterdir():
        value = file.read_text(encoding="utf-8").strip()
        found |= {value, urlsplit(value).password or value}
    return found


@contextmanager
def _watched_arguments() -> Iterator[set[str]]:
    """The command lines of all processes of this machine, of containers too, that were seen while this is entered."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        old: set[str] = set()
        before: set[str] = set()
        for look in itertools.count():
            present = {name for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - some hundred times a second
            if look % LOOKS == 0:
                seen.update(map(_arguments, present))
                old, before = before & present, present
            else:
                seen.update(map(_arguments, present - old))
            if over.wait(0.002):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _arguments(process: str) -> str:
    """Nothing of one that has ended."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:  # noqa: PTH123 - likewise
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
