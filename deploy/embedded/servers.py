"""Both servers of a data directory together: started, watched, started again when one dies, stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from deploy.embedded import postgres, valkey
from deploy.embedded.account import Account, account_for, place_servers, programs_for
from deploy.embedded.data_directory import DataDirectory, Memory, new_memory, with_free_ports
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.postgres import Postgres
from deploy.embedded.process import ServerProcess, end_survivors
from deploy.embedded.valkey import Valkey

_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_LONGEST_PAUSE: Final = 5.0
_LARGEST_LOG: Final = 5_000_000

_log = structlog.get_logger("latchkey.embedded")


class Supervisor:
    """Keeps one server running: a server that dies is started again on the same port with the same data."""

    def __init__(self, server: Postgres | Valkey) -> None:
        """Nothing runs before `start`."""
        self._server = server
        self._process: ServerProcess | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the server and returns when it answers.

        Raises:
            EmbeddedError: it ended, or did not answer within a minute.
        """
        with contextlib.suppress(FileNotFoundError):
            if self._server.log.stat().st_size > _LARGEST_LOG:
                self._server.log.unlink()
        await self._spawn()
        self._watching = asyncio.create_task(self._watch(), name=f"watch {self._server.name}")

    async def stop(self) -> None:
        """Stops the server cleanly."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._process is not None:
            await self._process.stop(self._server.patience)

    async def _spawn(self) -> None:
        server = self._server
        await asyncio.to_thread(end_survivors, server.folder, server.program)
        self._process = ServerProcess(
            server.command(),
            account=server.account,
            folder=server.folder,
            log=server.log,
            stop=server.stop_signal,
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await server.answers():
                    if self._process.exited.is_set():
                        raise EmbeddedError(f"{server.name} ended while starting: {_last_line(server.log)}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise EmbeddedError(f"{server.name} did not start: {_last_line(server.log)}") from None

    async def _watch(self) -> None:
        pause = _POLL_SECONDS
        while True:
            assert self._process is not None
            await self._process.exited.wait()
            _log.warning("server_died", server=self._server.name)
            try:
                await self._spawn()
            except (EmbeddedError, OSError) as error:
                pause = min(pause * 2, _LONGEST_PAUSE)
                _log.error(
                    "server_does_not_start", server=self._server.name, reason=str(error), again_in=pause
                )
                await asyncio.sleep(pause)
            else:
                pause = _POLL_SECONDS
                _log.info("server_restarted", server=self._server.name)


class EmbeddedServers:
    """PostgreSQL and Valkey, running in a data directory."""

    def __init__(self, directory: DataDirectory, memory: Memory) -> None:
        """Made by `running`."""
        self.directory = directory
        self.memory = memory

    @classmethod
    @asynccontextmanager
    async def running(
        cls, directory: DataDirectory, *, databases: int = 16
    ) -> AsyncIterator[EmbeddedServers]:
        """Claims the directory, starts both servers, yields when both answer, and stops them at the end.

        Args:
            directory: an empty, absent or earlier used data directory.
            databases: how many logical databases Valkey offers.

        Raises:
            DataDirectoryInUse: another process runs there.
            EmbeddedError: a server cannot run; the message says why.
        """
        with directory.claim():
            account = account_for(directory.path)
            memory = directory.recall() or new_memory(place_servers(account, directory.path))
            servers = _servers(memory, account, databases)
            for server in servers:
                await server.stop_orphan()
            if (usable := with_free_ports(memory)) != memory:
                _log.warning(
                    "port_was_taken", note="the servers moved to other ports; read `latchkey env` again"
                )
            directory.keep(usable)
            servers = _servers(usable, account, databases)
            supervisors = [Supervisor(server) for server in servers]
            try:
                for server in servers:
                    await asyncio.to_thread(server.set_up)
                for supervisor in supervisors:  # in this thread: their lives are tied to it
                    await supervisor.start()
                for server in servers:
                    await server.provide()
                yield cls(directory, usable)
            finally:
                await asyncio.gather(*(supervisor.stop() for supervisor in supervisors))


async def is_running(memory: Memory) -> bool:
    """Whether both servers of a data directory accept connections with what `latchkey env` prints."""
    port = urlsplit(memory.redis_url).port or 0
    both = await asyncio.gather(
        postgres.answers(memory.database_url), valkey.answers(port, memory.valkey_password)
    )
    return all(both)


def _servers(memory: Memory, account: Account | None, databases: int) -> tuple[Postgres, Valkey]:
    programs = programs_for(account)
    return Postgres(memory, programs, account), Valkey(memory, programs, account, databases)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'it said nothing'} ({log})"
