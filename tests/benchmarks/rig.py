"""The rig: the stores, the three services and what they are measured against as processes, and the load generator beside them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deploy.embedded.ports import free_port
from tests.benchmarks.cpu import children_named, seconds_of
from tests.benchmarks.load import Plan, Result, read_frames, write_frames
from tests.harness.processes import REPOSITORY, RunningServices, running_services

ENVIRON: Final = {
    "LATCHKEY_THROTTLE": "off",
    "LATCHKEY_CODE_TTL_SECONDS": "600",
    "LATCHKEY_CLIENTS_PER_USER": "1000",
    "LATCHKEY_SIGN_UP_LIMIT": "100000",
}


@dataclass(frozen=True, slots=True)
class Shot:
    """One load: what came of it, and what each part spent on each request."""

    result: Result
    cpu_us: Mapping[str, float]
    """`auth-api`, `consent-ui`, `key-issuer`, `postgres`, `valkey`, `bare`, `floor` → microseconds of processor time."""


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything that runs, and where it is reached."""

    services: RunningServices
    beside: Mapping[str, tuple[int, int]]
    """`bare`, and `floor` where it is wanted → port and process."""
    folder: Path

    def port(self, service: str) -> int:
        """The port of a service, of `bare` or of `floor`."""
        if service in self.beside:
            return self.beside[service][0]
        return int(self.services.urls[service].rpartition(":")[2])

    def load(self, service: str, requests: Sequence[bytes], connections: int, seconds: float = 0) -> Shot:
        """Loads a service: in a circle for so many seconds, or each request once."""
        trees = self._process_trees()
        before = seconds_of(trees)
        result = self._run(service, requests, connections, seconds, None)
        spent = seconds_of(trees)
        return Shot(result, {name: 1e6 * (spent[name] - before[name]) / result.requests for name in trees})

    def collect(self, service: str, requests: Sequence[bytes], connections: int) -> list[bytes]:
        """Sends each request once; the bodies of the answers, in no particular order."""
        answers = self.folder / "answers"
        result = self._run(service, requests, connections, 0, str(answers))
        if set(result.statuses) != {"200"}:
            raise AssertionError(f"not all answers were 200: {result.statuses}")
        return read_frames(answers)

    def memory_mb(self, service: str) -> float:
        """The largest resident set of a service so far, all its processes together."""
        pid = self.services.processes[service].pid
        return sum(_peak_kb(each) for each in (pid, *_children(pid))) / 1024

    @contextmanager
    def redis_paused(self) -> Iterator[None]:
        """Redis takes no step until the end of the block; its connections stay."""
        pids = self._process_trees()["valkey"]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _process_trees(self) -> dict[str, list[int]]:
        trees = {name: [process.pid] for name, process in self.services.processes.items()}
        trees |= {name: [pid] for name, (_, pid) in self.beside.items()}
        if self.services.backends is not None:
            for name in ("postgres", "valkey"):
                trees[name] = children_named(self.services.backends.pid, name)
        return trees

    def _run(
        self, service: str, requests: Sequence[bytes], connections: int, seconds: float, answers: str | None
    ) -> Result:
        file = self.folder / "requests"
        write_frames(file, list(requests))
        plan = Plan(self.port(service), connections, str(file), seconds, answers)
        finished = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.load"],
            cwd=REPOSITORY,
            input=json.dumps(asdict(plan)),
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise AssertionError(f"the load on {service} failed: {finished.stderr[-2000:]}")
        return Result(**json.loads(finished.stdout))


@contextmanager
def running_rig(workers: int = 1, *, beside: Sequence[str] = ("bare",)) -> Iterator[Rig]:
    """Starts everything in a folder of its own; stops and removes it at the end. ``beside``: what ours is measured against."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
        services = stack.enter_context(
            running_services(folder, environ=ENVIRON, workers=workers, executable=True)
        )
        started = {name: stack.enter_context(_serving(name, services.environ)) for name in beside}
        yield Rig(services, started, folder)


@contextmanager
def _serving(module: str, environ: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """A handler of the benchmark's own as a process: its port and its id."""
    port = free_port()
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **environ})
    try:
        _wait_for(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
            return
        time.sleep(0.05)
    raise AssertionError("a handler to measure against did not start")


def _peak_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
