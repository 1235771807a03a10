"""A primary, a replica and three sentinels, for one test."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from deploy.embedded.account import programs_for
from deploy.embedded.ports import free_port
from shared.bus import CoalescingRedis, CommandError
from shared.errors import StoreUnavailable
from tests.integration.bus.conftest import SERVER_VARIABLE, until

NAME: Final = "main"
SENTINELS: Final = 3
BEGIN_SECONDS: Final = 60.0


class Server:
    """A process of the server's program, as a store or as a sentinel."""

    def __init__(self, folder: Path, lines: Mapping[str, object], *, sentinel: bool = False) -> None:
        """Started with a configuration file, which a sentinel rewrites."""
        folder.mkdir()
        self.port = free_port()
        program = os.environ.get(SERVER_VARIABLE) or programs_for(None).valkey
        given = {"port": self.port, "bind": "127.0.0.1", "dir": folder, "logfile": folder / "log", **lines}
        self._configuration = folder / "server.conf"
        self._configuration.write_text("".join(f"{name} {value}\n" for name, value in given.items()))
        self._command = [str(program), str(self._configuration), *(["--sentinel"] if sentinel else [])]
        self.redis = CoalescingRedis(f"redis://127.0.0.1:{self.port}")
        self.start()

    def start(self) -> None:
        """Starts it; the caller polls."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """With SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def answers(self) -> bool:
        """Whether it is up."""
        with suppress(StoreUnavailable):
            await self.redis.ping()
            return True
        return False

    async def role(self) -> bytes:
        """``master``, ``slave``, ``sentinel``; empty while it does not answer."""
        with suppress(StoreUnavailable, CommandError):
            role: bytes = (await self.redis.execute("ROLE"))[0]
            return role
        return b""


class Watched:
    """A store that fails over."""

    def __init__(self, folder: Path) -> None:
        """Begins everything; the caller polls."""
        common = {"appendonly": "yes", "save": '""', "repl-diskless-sync-delay": 0}
        self.first = Server(folder / "first", common)
        self.second = Server(folder / "second", common | {"replicaof": f"127.0.0.1 {self.first.port}"})
        watching = {
            "sentinel monitor": f"{NAME} 127.0.0.1 {self.first.port} 2",
            "sentinel down-after-milliseconds": f"{NAME} 1000",
            "sentinel failover-timeout": f"{NAME} 4000",
        }
        self.sentinels = [
            Server(folder / f"sentinel{number}", watching, sentinel=True) for number in range(SENTINELS)
        ]

    @property
    def servers(self) -> list[Server]:
        """All of them."""
        return [self.first, self.second, *self.sentinels]

    def url(self, name: str = NAME) -> str:
        """What a service is configured with."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{name}"

    async def is_safe(self) -> bool:
        """Whether the replica follows, and every sentinel knows it and the other sentinels."""
        told: bytes = await self.first.redis.execute("INFO", "replication")
        if b"state=online" not in told:
            return False
        for sentinel in self.sentinels:
            flat: list[bytes] = await sentinel.redis.execute("SENTINEL", "MASTER", NAME)
            known = dict(zip(flat[::2], flat[1::2], strict=True))
            if (known[b"num-slaves"], known[b"num-other-sentinels"]) != (b"1", b"2"):
                return False
        return True

    async def safe(self) -> None:
        """Returns when it can fail over."""
        await until(self.is_safe, BEGIN_SECONDS)

    async def fail_over(self) -> None:
        """As an operator asks for it; returns when the other server is the primary and the first a replica."""
        await self.safe()
        await until(self._agrees_to_fail_over, BEGIN_SECONDS)
        await until(self._has_failed_over, BEGIN_SECONDS)

    async def name_second(self) -> None:
        """Lets all sentinels name the second server as the primary, while the first goes on as one."""
        await self.second.redis.execute("REPLICAOF", "NO", "ONE")
        for sentinel in self.sentinels:
            await sentinel.redis.execute("SENTINEL", "REMOVE", NAME)
            await sentinel.redis.execute("SENTINEL", "MONITOR", NAME, "127.0.0.1", self.second.port, 2)

    async def _agrees_to_fail_over(self) -> bool:
        with suppress(CommandError):  # NOGOODSLAVE, INPROG: in a moment
            await self.sentinels[0].redis.execute("SENTINEL", "FAILOVER", NAME)
            return True
        return await self.second.role() == b"master"

    async def _has_failed_over(self) -> bool:
        return await self.second.role() == b"master" and await self.first.role() == b"slave"


@asynccontextmanager
async def watched_redis(folder: Path) -> AsyncIterator[Watched]:
    """All of it, answering; ``is_safe`` comes up to ten seconds later."""
    watched = Watched(folder)
    try:
        for server in watched.servers:
            await until(server.answers, BEGIN_SECONDS)
        yield watched
    finally:
        for server in watched.servers:
            await server.redis.close()
            server.process.kill()
        await asyncio.to_thread(lambda: [server.process.wait() for server in watched.servers])
