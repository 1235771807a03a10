"""Starts real OpenID providers on loopback: node-oidc-provider from npm, and Keycloak from Maven Central."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.embedded.ports import free_port
from tests.harness.processes import RunningProcess
from tests.interop.building import Command, made, need
from tests.interop.libraries import NPM_INSTALL

HERE: Final = Path(__file__).resolve().parent
CLIENT_ID: Final = "latchkey"
CLIENT_SECRET: Final = "a secret: with/odd+signs"
PASSWORD: Final = "correct horse battery"
KEYCLOAK: Final = "26.7.3"
ADMIN: Final = "operator"
_START_SECONDS: Final = 300.0
_CALLBACK: Final = "/login/oidc/callback"
_LOGOUT: Final = "/login/oidc/backchannel-logout"


@dataclass(frozen=True, slots=True)
class RunningProvider:
    """A provider, and the client that it knows."""

    issuer: str
    process: RunningProcess

    @property
    def metadata(self) -> dict[str, object]:
        """What it says of itself."""
        address = f"{self.issuer}/.well-known/openid-configuration"
        with urllib.request.urlopen(address, timeout=10) as answer:
            document: dict[str, object] = json.load(answer)
            return document

    def settings(self) -> dict[str, str]:
        """The configuration of a Latchkey that signs people in by it."""
        return {
            "LATCHKEY_OIDC_ISSUER": self.issuer,
            "LATCHKEY_OIDC_CLIENT_ID": CLIENT_ID,
            "LATCHKEY_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "LATCHKEY_OIDC_NAME": "Provider",
        }

    def kill(self) -> None:
        """It is gone at once, and whatever it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.process.wait()


def build_node_provider() -> Path:
    """The folder with its program.

    Raises:
        CannotBuildError: Node or the packages are not to be had.
    """
    need("node", "npm")
    return made(HERE / "node", [NPM_INSTALL])


def build_keycloak() -> Path:
    """The unpacked and configured distribution.

    Raises:
        CannotBuildError: Java, Maven or the distribution are not to be had.
    """
    need("mvn", "java")
    artifact = f"-Dartifact=org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:zip"
    fetch = ("mvn", "-q", "-B", "-ntp", "dependency:unpack", artifact, "-DoutputDirectory=.")
    options = "--db=dev-mem --features-disabled=admin,account --health-enabled=false --metrics-enabled=false"
    build = ("sh", "-c", f"chmod +x */bin/kc.sh && */bin/kc.sh build {options}")
    imported = ("sh", "-c", "cd keycloak-* && mkdir -p data/import && cp ../site.json data/import")
    return made(HERE / "keycloak", [fetch, build, imported]) / f"keycloak-{KEYCLOAK}"


@contextmanager
def running_node_provider(folder: Path, latchkey: str) -> Iterator[RunningProvider]:
    """node-oidc-provider, whose client is the Latchkey at that address."""
    program = build_node_provider() / "provider.mjs"
    issuer = f"http://127.0.0.1:{free_port()}"
    told = {
        "issuer": issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uri": latchkey + _CALLBACK,
        "backchannel_logout_uri": latchkey + _LOGOUT,
    }
    with _running(folder, issuer, ("node", str(program), json.dumps(told)), {}) as provider:
        yield provider


@contextmanager
def running_keycloak(folder: Path, latchkey: str) -> Iterator[RunningProvider]:
    """Keycloak with one realm, whose client is the Latchkey at that address."""
    program, address = build_keycloak() / "bin" / "kc.sh", f"http://127.0.0.1:{free_port()}"
    command = (
        str(program),
        "start",
        "--optimized",
        "--import-realm",
        "--cache=local",
        "--http-enabled=true",
        "--http-host=127.0.0.1",
        f"--http-port={address.rpartition(':')[2]}",
        f"--hostname={address}",
        f"--bootstrap-admin-username={ADMIN}",
        f"--bootstrap-admin-password={PASSWORD}",
    )
    # A start of seconds gains nothing from the second compiler.
    environ = {
        "LATCHKEY_AT": latchkey,
        "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1 -XX:-UseG1GC -XX:+UseSerialGC",
    }
    with _running(folder, f"{address}/realms/site", command, environ) as provider:
        yield provider


@contextmanager
def _running(
    folder: Path, issuer: str, command: Command, environ: Mapping[str, str]
) -> Iterator[RunningProvider]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"provider-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = RunningProcess(Path(command[0]).name, process, log)
    try:
        running.wait_until(lambda: _tells_of_itself(issuer), "it told of itself", _START_SECONDS)
        yield RunningProvider(issuer, running)
    finally:
        if process.poll() is None:
            running.stop()


def _tells_of_itself(issuer: str) -> bool:
    try:
        with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=5) as answer:
            return bool(json.load(answer)["issuer"] == issuer)
    except (urllib.error.URLError, OSError, ValueError):
        return False
