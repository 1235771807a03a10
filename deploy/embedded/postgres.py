"""The embedded PostgreSQL: its first set-up, how it is started, and whether it answers."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Final

import asyncpg

from deploy.embedded.account import POSTGRES, Account, Programs
from deploy.embedded.data_directory import Memory
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.process import command_of, run_program, stop_orphan

# For a small machine that keeps its promises: commits reach the disk; no statement of a client reaches the log.
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "jit": "off",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] ",
}
_ANSWERS_SECONDS: Final = 2.0


class Postgres:
    """One PostgreSQL server; what the supervisor needs to know of it."""

    name = "PostgreSQL"
    program = "postgres"
    stop_signal = signal.SIGINT  # a fast shutdown: open transactions roll back
    patience = 30.0

    def __init__(self, memory: Memory, programs: Programs, account: Account | None) -> None:
        """Of a data directory's memory. Nothing is made yet."""
        self.account = account
        self.folder = Path(memory.servers) / "postgres"
        self.log = Path(memory.servers) / "postgres.log"
        self._memory = memory
        self._programs = programs

    def set_up(self) -> None:
        """Makes the database cluster, whole or not at all, unless it is there.

        Raises:
            EmbeddedError: it cannot be made, or a version of PostgreSQL made it that we do not bring.
        """
        if self.folder.exists():
            if self._version() not in POSTGRES:
                brought = " and ".join(POSTGRES)
                raise EmbeddedError(f"{self.folder} is of PostgreSQL {self._version()}; we bring {brought}.")
            return
        draft = self.folder.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = self.folder.with_name("postgres.password")
        password.unlink(missing_ok=True)
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._memory.superuser_password)
        if self.account is not None:
            self.account.own(draft)
            self.account.own(password)
        program = self._programs.postgres(next(iter(POSTGRES))) / "initdb"
        options = ("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
        files = (f"--pgdata={draft}", f"--pwfile={password}")
        try:
            run_program((program, *options, *files), account=self.account, folder=draft)
        finally:
            password.unlink()
        draft.rename(self.folder)

    async def stop_orphan(self) -> None:
        """Stops a server that outlived its parent, and clears away a pid that now is somebody else's."""
        lock = self.folder / "postmaster.pid"
        if not lock.exists():
            return
        pid = int(lock.read_text().split("\n", 1)[0])
        await stop_orphan(pid, marks=[str(self.folder)], stop=self.stop_signal, patience=self.patience)
        if str(self.folder) not in command_of(pid):
            # PostgreSQL would take any process of that number for itself. It has a second guard against
            # survivors: the shared memory, which is found by the data directory.
            lock.unlink(missing_ok=True)

    def command(self) -> list[str | Path]:
        """The command line of the server; holds no secret."""
        settings = {**_SETTINGS, "port": str(self._memory.postgres_port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._programs.postgres(self._version()) / "postgres", "-D", self.folder, *options]

    async def answers(self) -> bool:
        """Whether it accepts connections."""
        return await answers(self._memory.superuser_url)

    async def provide(self) -> None:
        """Makes the role and the database of Latchkey's, if they are missing."""
        server = await asyncpg.connect(self._memory.superuser_url, timeout=10)
        try:
            if not await server.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'latchkey'"):
                password = self._memory.postgres_password  # ours: hexadecimal digits
                await server.execute(f"CREATE ROLE latchkey LOGIN CREATEDB PASSWORD '{password}'")
            if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = 'latchkey'"):
                await server.execute("CREATE DATABASE latchkey OWNER latchkey")
        finally:
            await server.close()

    def _version(self) -> str:
        return (self.folder / "PG_VERSION").read_text().strip()


async def answers(url: str) -> bool:
    """Whether the server at a URL accepts a connection of that role to that database."""
    try:
        connection = await asyncpg.connect(url, timeout=_ANSWERS_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True
