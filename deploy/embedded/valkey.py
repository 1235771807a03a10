"""The embedded Valkey: its configuration file, how it is started, and whether it answers."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

from deploy.embedded.account import Account, Programs
from deploy.embedded.data_directory import Memory
from deploy.embedded.process import stop_orphan

# What a message bus asks of its store: every write in a log, and no entry ever evicted.
_SETTINGS: Final = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "save": '""',
    "daemonize": "no",
    "loglevel": "warning",
}
_ANSWERS_SECONDS: Final = 2.0


class Valkey:
    """One Valkey server; what the supervisor needs to know of it."""

    name = "Valkey"
    program = "valkey-server"
    stop_signal = signal.SIGTERM
    patience = 30.0

    def __init__(self, memory: Memory, programs: Programs, account: Account | None, databases: int) -> None:
        """Of a data directory's memory. Nothing is made yet."""
        self.account = account
        self.folder = Path(memory.servers) / "valkey"
        self.log = Path(memory.servers) / "valkey.log"
        self._memory = memory
        self._program = programs.valkey
        self._configuration = self.folder / "valkey.conf"
        self._pid_file = self.folder / "valkey.pid"
        self._databases = databases

    def set_up(self) -> None:
        """Makes its directory and writes its configuration: a command line would show the password to everybody."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        settings = {
            **_SETTINGS,
            "port": str(self._memory.valkey_port),
            "requirepass": self._memory.valkey_password,
            "databases": str(self._databases),
            "dir": _quoted(self.folder),
            "pidfile": _quoted(self._pid_file),
        }
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        self._configuration.unlink(missing_ok=True)
        descriptor = os.open(self._configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(lines)
        if self.account is not None:
            self.account.own(self.folder)
            self.account.own(self._configuration)

    async def stop_orphan(self) -> None:
        """Stops a server that outlived its parent."""
        if self._pid_file.exists():
            pid = int(self._pid_file.read_text().strip() or 0)
            marks = ["valkey-server", f":{self._memory.valkey_port}"]
            await stop_orphan(pid, marks=marks, stop=self.stop_signal, patience=self.patience)

    def command(self) -> list[str | Path]:
        """The command line of the server; holds no secret."""
        return [self._program, self._configuration]

    async def answers(self) -> bool:
        """Whether it accepts commands: not while it still loads its log."""
        return await answers(self._memory.valkey_port, self._memory.valkey_password)

    async def provide(self) -> None:
        """There is nothing to make in it."""


async def answers(port: int, password: str) -> bool:
    """Whether a server on the loopback port takes the password and answers a PING."""
    try:
        async with asyncio.timeout(_ANSWERS_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"AUTH {password}\r\nPING\r\n".encode())
                return [await reader.readline() for _ in range(2)] == [b"+OK\r\n", b"+PONG\r\n"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
