"""The processes under fire: servers and services as an operator starts them, each to be killed, stalled and restarted."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis

from deploy.embedded.ports import free_port
from shared.failpoints import VARIABLE
from tests.harness.processes import REPOSITORY, Program, clean_environ, command, is_well, start
from tests.integration.oauth.severable import Severable

SERVICES: Final = {
    "auth-api-1": "auth-api",
    "auth-api-2": "auth-api",
    "key-issuer-1": "key-issuer",
    "key-issuer-2": "key-issuer",
    "consent-ui-1": "consent-ui",
}
STORES: Final = ("valkey", "postgres")
_PROGRAM_COMMANDS: Final = {
    "program-python": [sys.executable, "-m", "tests.chaos.guarded"],
    **({"program-node": ["node", "tests/chaos/guarded.mjs"]} if shutil.which("node") else {}),
}
_ASKED: Final = {"program-python": "key-issuer-1", "program-node": "key-issuer-2"}
PROGRAMS: Final = tuple(_PROGRAM_COMMANDS)
"""Programs that an SDK protects; that for Node where there is one."""
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0


class Cluster:
    """Two auth_api, two key_issuer, one consent_ui, and the embedded servers, all real processes."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str] | None = None,
        services: Collection[str] = tuple(SERVICES),
    ) -> None:
        """``environ`` is added to the configuration of every service; ``services`` are those to start."""
        self._folder = folder
        self._data_dir = str(folder / "data")
        self._ports = {name: free_port() for name in services}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self._ports.items()}
        self._environ = dict(environ or {})
        self._processes: dict[str, Program] = {}
        self._stack = AsyncExitStack()
        self.failpoints: dict[str, str] = {}
        """Of each service by its name, whenever it is started without others."""
        self.lines: dict[str, Severable] = {}
        """Between each auth_api and Redis: what it sends can be held or cut, and nothing of anybody else's."""
        self.public_url = self.urls["auth-api-1"]
        self._service_key = ""

    @property
    def environ(self) -> Mapping[str, str]:
        """The configuration of the services."""
        return self._environ

    async def start(self) -> None:
        """Starts everything and waits until all of it is ready."""
        self._spawn("backends", "backends", "--data-dir", self._data_dir)
        printed = await self._backends_environ()
        self._environ = (
            printed | {"LATCHKEY_PUBLIC_URL": self.public_url, "LATCHKEY_THROTTLE": "off"} | self._environ
        )
        await asyncio.to_thread(command, "migrate", environ=self._environ)
        for name in self.urls:
            if SERVICES[name] == "auth-api":
                line = Severable(self._environ["LATCHKEY_REDIS_URL"])
                self.lines[name] = await self._stack.enter_async_context(line.serving())
            self.spawn_service(name)
        await self.all_ready()

    async def start_programs(self) -> None:
        """Starts the programs behind the SDKs, which are harmed from then on like the services."""
        made = await asyncio.to_thread(
            command,
            "service-key",
            "create",
            "--name=programs",
            "--permission=introspect",
            environ=self._environ,
        )
        self._service_key = made.strip()
        for name in PROGRAMS:
            self._ports[name] = free_port()
            self.urls[name] = f"http://127.0.0.1:{self._ports[name]}"
            self.spawn_service(name)
        await self.all_ready()

    async def stop(self) -> None:
        """Ends every process."""
        for name, process in self._processes.items():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGKILL if name != "backends" else signal.SIGTERM)
        for process in self._processes.values():
            await asyncio.to_thread(process.wait, 30)
        await self._stack.aclose()

    def spawn_service(self, name: str, *, failpoints: str = "") -> None:
        """Starts a service or program (again) on its port; ``failpoints`` are the moments at which it dies or stalls."""
        if name in PROGRAMS:
            asked = self.urls[_ASKED[name]]
            self._spawn_program(
                name, [*_PROGRAM_COMMANDS[name], str(self._ports[name]), asked, self._service_key]
            )
            return
        failpoints = failpoints or self.failpoints.get(name, "")
        added = {"LATCHKEY_TESTING": "1", VARIABLE: failpoints} if failpoints else {}
        if name in self.lines:
            added["LATCHKEY_REDIS_URL"] = self.lines[name].url
        self._spawn(name, "serve", SERVICES[name], "--port", str(self._ports[name]), environ=added)

    def has_ended(self, name: str) -> bool:
        """Whether a process is gone."""
        return self._processes[name].poll() is not None

    def terminate(self, name: str) -> None:
        """SIGTERM: a clean stop begins."""
        self._processes[name].terminate()

    async def ended(self, name: str) -> None:
        """Waits until a process that was asked to stop is gone."""
        await asyncio.to_thread(self._processes[name].wait, STOP_SECONDS)

    async def configure_redis(self, **options: str) -> None:
        """``CONFIG SET``; ``_`` stands for ``-``."""
        async with Redis.from_url(self._environ["LATCHKEY_REDIS_URL"]) as redis:
            for option, value in options.items():
                await redis.config_set(option.replace("_", "-"), value)

    def kill(self, name: str) -> None:
        """``kill -9`` of a service or a store."""
        for pid in self._pids(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if name not in STORES:
            self._processes[name].wait()

    def stall(self, name: str) -> list[int]:
        """SIGSTOP of a service, or of a store with all its processes; the pids to let go on."""
        pids = self._pids(name)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return pids

    @staticmethod
    def go_on(pids: list[int]) -> None:
        """SIGCONT."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def mend(self) -> None:
        """Undoes what a test that failed half way has left: stalled processes go on, dead services are started."""
        for name in (*self.urls, *STORES):
            self.go_on(self._pids(name))
        for name in self.urls:
            if self.has_ended(name):
                self.spawn_service(name)

    async def all_ready(self, seconds: float = READY_SECONDS) -> None:
        """Waits until every service says that it and its stores are well; fails with the last words of who is not."""
        deadline = asyncio.get_running_loop().time() + seconds
        for name in self.urls:
            await self.ready(name, deadline - asyncio.get_running_loop().time())

    async def ready(self, name: str, seconds: float = READY_SECONDS) -> None:
        """The same for one service; a store may have had to come back first."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await asyncio.to_thread(is_well, self.urls[name]):
            if asyncio.get_running_loop().time() > deadline:
                logs = "".join(f"\n== {each}\n{self.log_of(each)[-2000:]}" for each in (name, "backends"))
                raise AssertionError(f"{name} was not ready after {seconds:.0f} s{logs}")
            await asyncio.sleep(0.1)

    def log_of(self, name: str) -> str:
        """Everything a process has said."""
        return (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _spawn(self, name: str, *arguments: str, environ: Mapping[str, str] = MappingProxyType({})) -> None:
        with self._log_after_end(name) as output:
            self._processes[name] = start(
                *arguments, environ={**self._environ, **environ}, stdout=output, stderr=output
            )

    def _spawn_program(self, name: str, words: Sequence[str]) -> None:
        environ = {**self._environ, "PYTHONPATH": str(REPOSITORY / "sdk/python/src")}
        with self._log_after_end(name) as output:
            self._processes[name] = subprocess.Popen(
                words,
                cwd=REPOSITORY,
                env=clean_environ(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _log_after_end(self, name: str) -> IO[bytes]:
        """The file that a process writes into, when the one of that name before it has ended."""
        if (before := self._processes.get(name)) is not None:
            before.wait(READY_SECONDS)
        return (self._folder / f"{name}.log").open("ab")

    async def _backends_environ(self) -> dict[str, str]:
        async with asyncio.timeout(READY_SECONDS):
            while True:
                with suppress(AssertionError):
                    printed = await asyncio.to_thread(command, "env", "--data-dir", self._data_dir)
                    return dict(line.split("=", 1) for line in printed.splitlines())
                await asyncio.sleep(0.2)

    def _pids(self, name: str) -> list[int]:
        if name not in STORES:
            return [self._processes[name].pid]
        variable = {"valkey": "LATCHKEY_REDIS_URL", "postgres": "LATCHKEY_DATABASE_URL"}[name]
        port = urlsplit(self._environ[variable]).port
        mark = f":{port}" if name == "valkey" else f"port={port}"
        parents = [
            pid
            for pid, words in _running()
            if name.split("-", maxsplit=1)[0] in words[0] and mark in " ".join(words)
        ]
        return parents + [pid for pid in _children(parents) if name == "postgres"]


@asynccontextmanager
async def running_cluster(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    services: Collection[str] = tuple(SERVICES),
) -> AsyncIterator[Cluster]:
    """A cluster that is ready, and gone afterwards."""
    cluster = Cluster(folder, environ, services)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


def _running() -> list[tuple[int, list[str]]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                if words and words[0]:
                    found.append((int(entry.name), words))
    return found


def _children(parents: list[int]) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent in parents:
                    found.append(int(entry.name))
    return found
