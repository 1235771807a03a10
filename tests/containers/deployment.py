"""A deployment of its own from a copy of the repository: its image, secrets, containers and port."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from deploy.embedded.ports import free_port
from tests.harness.processes import REPOSITORY, clean_environ
from tests.harness.site import NO_AUTHORITIES

PORTS: Final = {"auth_api": 8101, "consent_ui": 8102, "key_issuer": 8103}
OURS: Final = tuple(PORTS)
IMAGES: Final = {
    "PYTHON_IMAGE": "standin/python",
    "POSTGRES_IMAGE": "standin/postgres",
    "REDIS_IMAGE": "standin/redis",
    "CADDY_IMAGE": "standin/caddy",
}
"""Local stand-ins for the official images, taken where they exist and nothing else is asked for."""
BUILD_SECONDS: Final = 900.0
START_SECONDS: Final = 240.0
POLL_SECONDS: Final = 0.1


def run(
    *command: str, environ: Mapping[str, str] | None = None, seconds: float = 60.0, typed: str | None = None
) -> str:
    """Runs a program to its end with `typed` on its stdin; its stdout. Fails with its last words if it does."""
    finished = subprocess.run(
        command,
        env=None if environ is None else dict(environ),
        input=typed,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert finished.returncode == 0, (
        f"{' '.join(command[:6])} ended with {finished.returncode}: {finished.stdout[-1500:]}{finished.stderr[-3000:]}"
    )
    return finished.stdout


def wait_until(is_so: Callable[[], bool], what: str, seconds: float) -> float:
    """Polls until something is so; how long it took. Fails when the time is up."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started


def skip_without_engine() -> None:
    """Skips (fails in CI) where no Docker engine answers or docker-compose is missing."""
    if not _succeeds("docker", "version", "--format", "{{.Server.Version}}"):
        pytest.skip("no Docker engine answers (docker version): the compose deployment is not tested")
    if not _succeeds(*compose_command(), "version"):
        pytest.skip("there is no docker-compose: the compose deployment is not tested")


def compose_command() -> tuple[str, ...]:
    """The old program if it is there, else the engine's plug-in."""
    return ("docker-compose",) if shutil.which("docker-compose") else ("docker", "compose")


class Deployment:
    """The containers of one project. `folder` is the copy of the repository that they come from."""

    def __init__(self, folder: Path) -> None:
        """Chooses a project name and a port; nothing runs yet."""
        self.folder = folder
        self.project = f"latchkeytest{secrets.token_hex(4)}"
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.environ = clean_environ(
            {
                **{name: image for name, image in IMAGES.items() if _has_image(image)},
                **{name: os.environ[name] for name in IMAGES if name in os.environ},
                "COMPOSE_PROJECT_NAME": self.project,
                "LATCHKEY_IMAGE": self.project,
                "LATCHKEY_HTTP_PORT": str(self.port),
                "LATCHKEY_SIGN_UP_LIMIT": "1000",
                "COMPOSE_HTTP_TIMEOUT": "180",
            }
        )

    def compose(
        self,
        *arguments: str,
        seconds: float = START_SECONDS,
        environ: Mapping[str, str] | None = None,
        also: Sequence[str] = (),
    ) -> str:
        """`docker-compose …`; its stdout. `also` names files beside compose.yaml."""
        files = [str(self.folder / "deploy" / name) for name in ("compose.yaml", *also)]
        return run(
            *compose_command(),
            *(word for file in files for word in ("-f", file)),
            *arguments,
            environ=self.environ | dict(environ or {}),
            seconds=seconds,
        )

    def operator(self, *arguments: str) -> str:
        """An operator's command in a container of its own; its stdout."""
        return self.compose("run", "--rm", "-T", "operator", *arguments)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's running containers. From the engine: `docker-compose ps` takes ten times as long."""
        labels = {"project": self.project, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return run("docker", "ps", "--quiet", "--no-trunc", *filters).split()

    def inspect(self, container: str, template: str) -> str:
        """One fact about a container, by a Go template."""
        return run("docker", "inspect", "--format", template, container).strip()

    def inside(self, container: str, *command: str, typed: str = "") -> str:
        """Runs a program in a container with `typed` on its stdin; its stdout."""
        return run("docker", "exec", "--interactive", container, *command, typed=typed)

    def wait_until_healthy(self, *services: str, seconds: float = START_SECONDS) -> float:
        """Until every container of these services (ours, if none are named) is healthy; how long that took."""
        state = "{{.State.Health.Status}}"
        return self._wait_until_all(lambda one, _: self.inspect(one, state) == "healthy", services, seconds)

    def wait_until_ready(self) -> float:
        """The same of our services, found out by their own health check, without waiting for the engine to run it."""
        return self._wait_until_all(self._is_ready, OURS, START_SECONDS)

    def wait_until_answering(self) -> float:
        """Until the proxy has found our services."""
        return wait_until(self._answers, "the start page", 30.0)

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, trust_env=False, verify=NO_AUTHORITIES).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _wait_until_all(
        self, is_well: Callable[[str, str], bool], services: Sequence[str], seconds: float
    ) -> float:
        wanted = services or OURS

        def all_well() -> bool:
            found = [(one, service) for service in wanted for one in self.containers(service)]
            return len(found) >= len(wanted) and all(is_well(one, service) for one, service in found)

        return wait_until(all_well, f"{', '.join(wanted)} well", seconds)

    def _is_ready(self, container: str, service: str) -> bool:
        check = ("/opt/latchkey/bin/python", "-I", "-S", "deploy/healthcheck.py", str(PORTS[service]))
        return _succeeds("docker", "exec", container, *check)


@contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """A running deployment of the repository as it is; everything of it is gone afterwards."""
    deployment = Deployment(copy_repository(folder))
    run(str(deployment.folder / "latchkey"), "init", environ=_with_environment_of_ours())
    try:
        deployment.compose("up", "-d", "--build", seconds=BUILD_SECONDS)
        deployment.wait_until_ready()
        deployment.wait_until_answering()
        yield deployment
    except BaseException:
        print(deployment.compose("logs", "--no-color", "--tail", "60"))  # noqa: T201 - pytest shows it
        raise
    finally:
        deployment.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")
        subprocess.run(["docker", "image", "rm", "-f", deployment.project], capture_output=True, check=False)


def _with_environment_of_ours() -> dict[str, str]:
    return clean_environ({"LATCHKEY_VENV": os.environ.get("LATCHKEY_VENV") or str(REPOSITORY / ".venv")})


def copy_repository(folder: Path) -> Path:
    """What git knows of, and what it would add: neither environment nor secrets."""
    listed = run("git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source, target = REPOSITORY / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _has_image(name: str) -> bool:
    return _succeeds("docker", "image", "inspect", name)
