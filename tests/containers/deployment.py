"""A deployment of its own from a copy of the repository: its image, secrets, containers and port."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest

from deploy.embedded.ports import free_port
from tests.containers.engine import Container, Engine
from tests.harness.processes import REPOSITORY, clean_environ
from tests.harness.site import NO_AUTHORITIES
from tests.harness.tls import make_authority

PORTS: Final = {"auth_api": 8101, "consent_ui": 8102, "key_issuer": 8103}
OURS: Final = tuple(PORTS)
AUTHORITY_HOST: Final = "receiver"
"""The host whose certificate is the authority of an operator's own."""
BASE: Final = "latchkeytest-base"
"""The image of the stage of deploy/Dockerfile that has all but our own code."""
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


@dataclass(frozen=True, slots=True)
class Shape:
    """What an operator chooses of a deployment."""

    replicas: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(OURS, 1))
    """How many containers there are of each service of ours."""
    workers: int = 1
    """How many processes each of them serves with."""
    authority: bool = False
    """Whether an authority of the operator's own is believed, and what is in private networks may be called."""

    @property
    def files(self) -> tuple[str, ...]:
        """The compose files that make it so."""
        return ("compose.yaml", *(("compose.authority.yaml",) if self.authority else ()))

    @property
    def environ(self) -> dict[str, str]:
        """The settings that do."""
        workers = {f"{service.upper()}_WORKERS": str(self.workers) for service in OURS}
        return workers | ({"LATCHKEY_PRIVATE_TARGETS": "on"} if self.authority else {})

    @property
    def scale(self) -> tuple[str, ...]:
        """The arguments of `docker-compose up` that do."""
        return tuple(word for name, count in self.replicas.items() for word in ("--scale", f"{name}={count}"))


AS_IT_COMES: Final = Shape()
ONE_OF_EACH: Final = Shape(authority=True)
SCALED: Final = Shape(replicas={"key_issuer": 3, "auth_api": 2, "consent_ui": 2}, authority=True)
"""With an authority, which only some of the tests of several replicas need, so that all of them can share it."""


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


def engine_or_skip() -> Engine:
    """Skips (fails in CI) where no Docker engine answers on this machine or docker-compose is missing."""
    engine = Engine.of_this_machine()
    if engine is None:
        pytest.skip("no Docker engine answers on this machine: the compose deployment is not tested")
    if not _succeeds(*compose_command(), "version"):
        pytest.skip("there is no docker-compose: the compose deployment is not tested")
    return engine


def compose_command() -> tuple[str, ...]:
    """The old program if it is there, else the engine's plug-in."""
    return ("docker-compose",) if shutil.which("docker-compose") else ("docker", "compose")


class Deployment:
    """The containers of one project. `folder` is the copy of the repository that they come from."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        """Chooses a project name and a port; nothing runs yet."""
        self.folder = folder
        self.engine = engine
        self.project = f"latchkeytest{secrets.token_hex(4)}"
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.shape = AS_IT_COMES
        self.environ = clean_environ(
            {
                **{name: image for name, image in IMAGES.items() if engine.has_image(image)},
                **{name: os.environ[name] for name in IMAGES if name in os.environ},
                "COMPOSE_PROJECT_NAME": self.project,
                "LATCHKEY_IMAGE": self.project,
                "LATCHKEY_HTTP_PORT": str(self.port),
                "LATCHKEY_SIGN_UP_LIMIT": "1000",
                "COMPOSE_HTTP_TIMEOUT": "180",
            }
        )

    def compose(self, *arguments: str, seconds: float = START_SECONDS) -> str:
        """`docker-compose …` with the files and settings of its shape; its stdout."""
        files = [str(self.folder / "deploy" / name) for name in self.shape.files]
        return run(
            *compose_command(),
            *(word for file in files for word in ("-f", file)),
            *arguments,
            environ=self.environ | self.shape.environ,
            seconds=seconds,
        )

    def up(self) -> None:
        """Brings up whatever is missing of its shape, and waits until it is up."""
        self.compose("up", "-d", "--no-build", *self.shape.scale)
        self.wait_until_up()

    def take(self, shape: Shape) -> None:
        """Changes its shape. Nothing is done if it has it: tests that want the same one after the other share it."""
        if shape != self.shape:
            self.shape = shape
            self.up()

    def operator(self, *arguments: str) -> str:
        """An operator's command in a container of its own; its stdout."""
        return self.compose("run", "--rm", "-T", "operator", *arguments)

    def operator_shell(self, script: str) -> str:
        """Several of them (`latchkey …`) in one container; their stdout."""
        return self.compose("run", "--rm", "-T", "--entrypoint", "sh", "operator", "-ec", script)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's running containers."""
        return [one.id for one in self.engine.containers(self.project) if one.service == service]

    def inspect(self, container: str, template: str) -> str:
        """One fact about a container, by a Go template."""
        return run("docker", "inspect", "--format", template, container).strip()

    def inside(self, container: str, *command: str, typed: str = "") -> str:
        """Runs a program in a container with `typed` on its stdin; its stdout."""
        return run("docker", "exec", "--interactive", container, *command, typed=typed)

    def touch_as_root(self, container: str, *paths: str) -> dict[str, str]:
        """What a container's root is told who makes a file at each of these paths; nothing where that works."""
        script = 'for path; do echo "$path $(touch "$path" 2>&1)"; done'
        said = run("docker", "exec", "--user", "0", container, "sh", "-c", script, "sh", *paths)
        return dict(line.split(" ", 1) for line in said.splitlines())

    def ask(self, container: Container, path: str) -> httpx.Response | None:
        """What one container of ours answers to a GET, not by way of the proxy; `None` while it does not."""
        address = container.addresses.get(f"{self.project}_web")
        return _get(f"http://{address}:{PORTS[container.service]}{path}") if address else None

    def wait_until_healthy(self, *services: str, seconds: float = START_SECONDS) -> float:
        """Until the engine finds every container of these services healthy; how long that took."""
        return self._wait_until_all(lambda one: one.health == "healthy", services, seconds)

    def wait_until_ready(self) -> float:
        """Until each of ours says so when it is asked what its health check asks, which the engine does less often."""
        return self._wait_until_all(self._is_ready, OURS, START_SECONDS)

    def wait_until_up(self) -> None:
        """Until ours are ready, and the proxy has found them."""
        self.wait_until_ready()
        wait_until(lambda: _is_ok(_get(self.url)), "the start page", 30.0)

    def _wait_until_all(
        self, is_well: Callable[[Container], bool], services: Sequence[str], seconds: float
    ) -> float:
        def all_well() -> bool:
            found = [one for one in self.engine.containers(self.project) if one.service in services]
            return {one.service for one in found} == set(services) and all(map(is_well, found))

        return wait_until(all_well, f"{', '.join(services)} well", seconds)

    def _is_ready(self, container: Container) -> bool:
        return _is_ok(self.ask(container, "/readyz"))


def _get(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, trust_env=False, verify=NO_AUTHORITIES)
    except httpx.TransportError:
        return None


def _is_ok(answer: httpx.Response | None) -> bool:
    return answer is not None and answer.status_code == httpx.codes.OK


@contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """A running deployment of the repository as it is; everything of it is gone afterwards."""
    deployment = Deployment(copy_repository(folder), engine_or_skip())
    run(str(deployment.folder / "latchkey"), "init", environ=_with_environment_of_ours())
    _give_authority(deployment)
    try:
        with ThreadPoolExecutor(1) as beside:  # they set up their data while the image is built
            stores = beside.submit(deployment.compose, "up", "-d", "postgres", "redis")
            deployment.compose("build", "auth_api", seconds=BUILD_SECONDS)
        stores.result()
        deployment.up()
        yield deployment
    except BaseException:
        print(deployment.compose("logs", "--no-color", "--tail", "60"))  # noqa: T201 - pytest shows it
        raise
    finally:
        deployment.compose("down", "--volumes", "--remove-orphans", "--timeout", "0")
        _remove_image(deployment)


def _remove_image(deployment: Deployment) -> None:
    """But for what changes seldom and takes longest to build: that stays, under a name, for the next deployment."""
    build = ("docker", "build", "--target", "base", "--tag", BASE, "--network", "host")
    image = deployment.environ.get("PYTHON_IMAGE")
    given = ("--build-arg", f"PYTHON_IMAGE={image}") if image else ()
    file = str(deployment.folder / "deploy" / "Dockerfile")
    for command in (
        (*build, *given, "--file", file, str(deployment.folder)),
        ("docker", "image", "rm", "--force", deployment.project),
    ):
        subprocess.run(command, capture_output=True, check=False)


def _give_authority(deployment: Deployment) -> None:
    """Makes an authority of the operator's own; nobody believes it before a shape with it is taken."""
    folder = deployment.folder / "tls"
    folder.mkdir(mode=0o755)
    make_authority(folder, (AUTHORITY_HOST,))
    for file in folder.iterdir():
        file.chmod(0o644)
    shutil.copy(folder / "authority.pem", deployment.folder / "deploy" / "secrets")


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
