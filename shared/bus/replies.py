"""The reply stream of one process and the tail that reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from shared.bus import names
from shared.errors import BusUnavailable, StoreUnavailable
from shared.redis.connection import Argument, RedisConnection
from shared.redis.errors import CommandError
from shared.redis.link import RedisLink
from shared.redis.topology import Topology
from shared.supervisor import watched

MOST_REPLIES: Final = 10_000
LIFETIME_SECONDS: Final = 300
REFRESH_SECONDS: Final = 30.0
BLOCK_MS: Final = 1000
PATIENCE_SECONDS: Final = BLOCK_MS / 1000 + 2
READ_AT_ONCE: Final = 1000
PAUSE_SECONDS: Final = 0.05

Entry = Sequence[Any]
Deliver = Callable[[bytes, bytes | None, bytes | None], object]

_log = structlog.get_logger("latchkey.bus")


def reply_command(
    reply_to: str, correlation: str, fields: Sequence[Argument], body: bytes | None, problem: str
) -> tuple[Argument, ...]:
    """The XADD of one reply. It makes no stream: an answer to a process that is gone vanishes."""
    outcome: tuple[Argument, ...] = ("d", body) if body is not None else ("e", problem)
    return (
        "XADD", reply_to, "NOMKSTREAM", "MAXLEN", "~", MOST_REPLIES, "*", *fields, "cid", correlation, *outcome
    )  # fmt: skip


class ReplyTail:
    """Reads this process's replies on a connection of its own and hands each to whoever waits for it."""

    def __init__(self, topology: Topology, instance: str, deliver: Deliver) -> None:
        """``deliver`` gets correlation, body and problem of each reply."""
        self.stream = names.replies(instance)
        self._deliver = deliver
        self._cursor: str | bytes = ""
        self._refresh_on = 0.0
        self._connected: object = None
        self._link = RedisLink(
            topology, self.stream, client_name=f"{instance}:replies", patience=PATIENCE_SECONDS
        )
        self._task: asyncio.Task[None] | None = None
        self.open = asyncio.Event()
        """Set while the stream exists and is read: requests may be sent."""

    async def start(self) -> None:
        """Opens the stream if Redis answers; reads until ``stop``, through every outage."""
        await self._link.start()
        if self._link.connection is not None:
            with suppress(StoreUnavailable, CommandError):
                await self._open(self._link.connection)
        self._task = watched(self._run(), "bus replies")

    def check_open(self) -> None:
        """Raises ``BusUnavailable`` (``down``) while replies could not be received."""
        if not self.open.is_set():
            raise BusUnavailable("down")

    async def stop(self) -> None:
        """Stops reading. Nothing is lost by it: nobody waits any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._link.stop()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection = await self._link.ready()
                if connection is not self._connected or loop.time() >= self._refresh_on:
                    await self._open(connection)
                answer = await connection.send(
                    ("XREAD", "COUNT", READ_AT_ONCE, "BLOCK", BLOCK_MS, "STREAMS", self.stream, self._cursor)
                )
                if answer:
                    self._take(answer[0][1])
                else:
                    self._refresh_on = 0.0  # quiet: a good time to see that the stream is still there
            except StoreUnavailable:
                try:
                    await self._link.ready()
                except StoreUnavailable:
                    self._connected = None
                    self.open.clear()
                    await asyncio.sleep(PAUSE_SECONDS)
            except CommandError as error:
                self._connected = None
                self.open.clear()
                if error.code == "MOVED":
                    self._link.moved()
                    continue
                _log.error("replies_unreadable", reason=str(error))
                await asyncio.sleep(1.0)

    async def _open(self, connection: RedisConnection) -> None:
        await self._keep(connection, reconnected=connection is not self._connected)
        self._connected = connection
        self._refresh_on = asyncio.get_running_loop().time() + REFRESH_SECONDS
        self.open.set()

    async def _keep(self, connection: RedisConnection, *, reconnected: bool) -> None:
        """Makes the stream where it is not, and keeps it from expiring.

        The cursor never passes a reply that may still come: after an outage it is moved back if the stream began anew.
        """
        alive = await connection.send(("EXPIRE", self.stream, LIFETIME_SECONDS))
        if alive and self._cursor and not reconnected:
            return
        opening = connection.send(
            ("XADD", self.stream, "MAXLEN", "~", MOST_REPLIES, "*", "v", "1", "t", "reply.open")
        )
        expiring = connection.send(("EXPIRE", self.stream, LIFETIME_SECONDS))
        # Both at once: neither is left behind with an error that nobody hears.
        first: bytes = (await asyncio.gather(opening, expiring))[0]
        if not alive or not self._cursor or _order(first) < _order(self._cursor):
            self._cursor = first

    def _take(self, entries: Sequence[Entry]) -> None:
        for _, flat in entries:
            fields = dict(zip(flat[::2], flat[1::2], strict=False))
            correlation = fields.get(b"cid")
            if correlation is not None:
                self._deliver(correlation, fields.get(b"d"), fields.get(b"e"))
        self._cursor = entries[-1][0]


def _order(entry_id: str | bytes) -> tuple[int, int]:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)
