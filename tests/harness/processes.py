"""Latchkey as its real processes: `up`, or `backends` and one `serve` for each service, as an operator starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from deploy.embedded.ports import free_port
from tests.harness.forks import Fork, can_fork

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LATCHKEY: Final = str(REPOSITORY / "latchkey")
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 35.0
POLL_SECONDS: Final = 0.05
SERVICES: Final = ("auth-api", "consent-ui", "key-issuer")

Program = subprocess.Popen[bytes] | Fork
"""A running `latchkey …`."""


@dataclass(slots=True)
class RunningProcess:
    """A process of ours and the file that its output goes to."""

    name: str
    process: Program
    log: Path

    @property
    def pid(self) -> int:
        """The process id: the program's own, since the executable execs."""
        return self.process.pid

    def output(self) -> str:
        """What it has said so far, on stdout and stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, is_so: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        """Polls until something is so; fails with the process's last words if it ends or the time is up."""
        deadline = time.monotonic() + seconds
        while not is_so():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                why = f"ended with {self.process.returncode}" if ended else f"took more than {seconds} s"
                raise AssertionError(f"{self.name} {why} before {what}:\n{self.output()[-3000:]}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> int:
        """Asks it to end (SIGTERM), waits, and insists if it must; its exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not stop:\n{self.output()[-3000:]}") from None


@dataclass(frozen=True, slots=True)
class RunningServices:
    """The three services on ports of their own."""

    public_url: str
    environ: Mapping[str, str]
    """What the command line needs to work on the same stores."""
    urls: Mapping[str, str]
    """`auth-api`, `consent-ui`, `key-issuer` → where it answers."""
    processes: Mapping[str, RunningProcess] = field(default_factory=dict)
    backends: RunningProcess | None = None


def clean_environ(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without anything of Latchkey's own configuration, plus ``added``.

    And without certificate authorities, which no store or site of a test needs: aiohttp reads all of them, twice, in
    each process that imports it, and that is a tenth of a service's start.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    if "LATCHKEY_VENV" in os.environ:
        kept["LATCHKEY_VENV"] = os.environ["LATCHKEY_VENV"]
    return kept | {"SSL_CERT_FILE": os.devnull} | dict(added or {})


def start(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
    executable: bool = False,
) -> Program:
    """Starts `latchkey …` on files as its standard streams, without one on none.

    It is a fork of a Python that has imported it, which spares the machine half a second's work. The ``executable``
    itself is started where a test is about it, and where a fork would not see all of ``environ``.
    """
    complete = clean_environ(environ)
    if not executable and can_fork(complete):
        return Fork(arguments, complete, (stdin, stdout, stderr))
    none = subprocess.DEVNULL
    return subprocess.Popen(
        [LATCHKEY, *arguments],
        env=complete,
        stdin=stdin or none,
        stdout=stdout or none,
        stderr=stderr or none,
    )


def ended(
    *arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "", executable: bool = False
) -> tuple[int, str, str]:
    """Runs `latchkey …`, as ``start`` does, to its end; its exit code, stdout and stderr."""
    with TemporaryFile() as given, TemporaryFile() as output, TemporaryFile() as error:
        given.write(stdin.encode())
        given.seek(0)
        process = start(
            *arguments, environ=environ, stdin=given, stdout=output, stderr=error, executable=executable
        )
        try:
            code = process.wait(START_SECONDS)
        finally:
            process.kill()
            process.wait()
        for file in (output, error):
            file.seek(0)
        return code, output.read().decode(), error.read().decode()


def command(*arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """Runs `latchkey …` to its end; its stdout. Fails with its stderr where it does."""
    code, output, error = ended(*arguments, environ=environ, stdin=stdin)
    if code:
        raise AssertionError(f"latchkey {arguments[0]} ended with {code}: {error}")
    return output


@contextmanager
def starting(
    *arguments: str, folder: Path, environ: Mapping[str, str] | None = None, executable: bool = False
) -> Iterator[RunningProcess]:
    """Starts `latchkey …`, as ``start`` does; stops it at the end."""
    name = " ".join(arguments[:2])
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{'-'.join(arguments[:2]).strip('-')}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = start(*arguments, environ=environ, stdout=output, stderr=output, executable=executable)
    running = RunningProcess(name, process, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.stop()


@contextmanager
def running_up(
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
    executable: bool = False,
) -> Iterator[str]:
    """Everything on one port; yields the address that it prints."""
    port = free_port() if port is None else port
    arguments = ("up", "--port", str(port), "--data-dir", str(folder / "data"))
    with starting(*arguments, folder=folder, environ=environ, executable=executable) as up:
        marker = "Latchkey is ready at "
        up.wait_until(lambda: marker in up.output(), "it was ready")
        yield up.output().split(marker)[1].split()[0]


@contextmanager
def running_services(
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    public_url: str | None = None,
    workers: int = 1,
    stores: Mapping[str, str] | None = None,
    executable: bool = False,
) -> Iterator[RunningServices]:
    """One `serve` per service, each on a free port: on `backends` of their own, with `migrate`, or on ``stores``.

    ``stores`` is the configuration for stores that are there and migrated (``Stores.environment``), which saves the start
    of two servers.
    """
    with ExitStack() as stack:
        backends, printed = None, stores
        if printed is None:
            backends, printed = stack.enter_context(_own_backends(folder))
        urls = {name: f"http://127.0.0.1:{free_port()}" for name in SERVICES}
        ours = {**printed, "LATCHKEY_PUBLIC_URL": public_url or urls["auth-api"], **(environ or {})}
        if stores is None:
            command("migrate", environ=ours)
        processes = {}
        for name, url in urls.items():
            arguments = ("serve", name, "--port", url.rpartition(":")[2], "--workers", str(workers))
            processes[name] = stack.enter_context(
                starting(*arguments, folder=folder, environ=ours, executable=executable)
            )
        for name, process in processes.items():
            process.wait_until(lambda url=urls[name]: is_well(url), "it was ready")  # type: ignore[misc]
        yield RunningServices(ours["LATCHKEY_PUBLIC_URL"], ours, urls, processes, backends)


@contextmanager
def _own_backends(folder: Path) -> Iterator[tuple[RunningProcess, dict[str, str]]]:
    """Servers of its own, and what `env` prints of them."""
    data_dir = str(folder / "data")
    with starting("backends", "--data-dir", data_dir, folder=folder) as backends:
        said = f"PostgreSQL and Valkey are ready in {data_dir}"
        backends.wait_until(lambda: said in backends.output(), said)
        printed = command("env", "--data-dir", data_dir).splitlines()
        yield backends, dict(line.split("=", 1) for line in printed)


def is_ready(url: str) -> bool:
    """Whether traffic may be sent there: `/readyz` answers 200."""
    return _readiness(url) in ("ok", "degraded")


def is_well(url: str) -> bool:
    """Whether all is well there: `/readyz` says ok."""
    return _readiness(url) == "ok"


def _readiness(url: str) -> str:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return str(json.load(answer)["status"])
    except (urllib.error.URLError, OSError):
        return "not ready"
