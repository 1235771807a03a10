"""How much room there is in Redis: the share of its memory that is used, and whether it takes writes at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from shared.errors import StoreUnavailable
from shared.redis.checks import parse_info
from shared.redis.client import CoalescingRedis
from shared.redis.connection import RedisConnection
from shared.redis.errors import CommandError
from shared.redis.script import Script

NEARLY_FULL: Final = 0.85
"""From this share of ``maxmemory`` on Redis counts as nearly full: there is still time to do something."""
LOOK_SECONDS: Final = 3.0
_WOULD_WRITE: Final = Script("would_write", "#!lua\nreturn 1\n")
"""Writes nothing, but says that it might: Redis refuses it where it refuses writes, and says why."""


class Room(NamedTuple):
    """How one server is, or the fullest of several; sizes in bytes, 0 where they are not told."""

    used_bytes: int = 0
    most_bytes: int = 0
    """``maxmemory``; 0 where there is no limit."""
    refusal: str = ""
    """The word with which writes are refused (``OOM``, ``NOREPLICAS``, ``MISCONF``); empty: they are not."""

    @property
    def used(self) -> float:
        """The share of ``maxmemory`` that is used; 0 where there is no limit."""
        return self.used_bytes / self.most_bytes if self.most_bytes else 0.0


class RoomWatch:
    """Looks every few seconds, in one task of the process; whoever wants to know asks here and not Redis."""

    def __init__(
        self, redis: CoalescingRedis, tell: Callable[[float], object], *, any_script: bool = True
    ) -> None:
        """``tell`` hears the share that is used, after each look. ``any_script``: whether this user may run any.

        consent_ui may only run those that others have run before: while there are none, refusals are not seen.
        """
        self.room = Room()
        self._any_script = any_script
        self._redis = redis
        self._tell = tell

    async def run(self) -> None:
        """Looks until cancelled. While Redis is away, what was last seen stays."""
        while True:
            try:
                self.room = await look(self._redis, any_script=self._any_script)
                self._tell(self.room.used)
            except (StoreUnavailable, CommandError):
                pass  # the check of Redis itself says so
            await asyncio.sleep(LOOK_SECONDS)

    async def check_memory(self) -> None:
        """For ``/readyz``: raises ``StoreUnavailable`` from ``NEARLY_FULL`` on."""
        if self.room.used >= NEARLY_FULL:
            raise StoreUnavailable("redis", f"{self.room.used:.0%} of maxmemory is used")

    async def check_writes(self) -> None:
        """For ``/readyz``: raises ``StoreUnavailable`` while Redis refuses writes."""
        if self.room.refusal:
            raise StoreUnavailable("redis", f"refuses writes: {self.room.refusal}")


async def look(redis: CoalescingRedis, *, any_script: bool = True) -> Room:
    """Asks each primary that holds our keys: the fullest one's share, and the first refusal.

    Raises:
        StoreUnavailable: one of them does not answer.
    """
    rooms = [await look_at(connection, any_script=any_script) for _, connection in await redis.primaries()]
    worst = max(rooms, key=lambda room: room.used)
    return worst._replace(refusal=next((room.refusal for room in rooms if room.refusal), ""))


async def look_at(connection: RedisConnection, *, any_script: bool = True) -> Room:
    """Asks one server."""
    info, refusal = await asyncio.gather(_info(connection), _refusal(connection, any_script=any_script))
    return Room(int(info.get("used_memory", 0)), int(info.get("maxmemory", 0)), refusal)


async def _info(connection: RedisConnection) -> Mapping[str, str]:
    try:
        return parse_info(await connection.send(("INFO", "memory")))
    except CommandError:  # this user has no right to ask
        return {}


async def _refusal(connection: RedisConnection, *, any_script: bool) -> str:
    answer: Any = await _would_write(connection, "EVALSHA", _WOULD_WRITE.sha)
    if any_script and isinstance(answer, CommandError) and answer.code == "NOSCRIPT":
        answer = await _would_write(connection, "EVAL", _WOULD_WRITE.source)
    return answer.reason if isinstance(answer, StoreUnavailable) and connection.is_open else ""


async def _would_write(connection: RedisConnection, word: str, script: str) -> Any:
    """The reply or refusal; of a user who may run no script it is one that says nothing of writes."""
    try:
        return await connection.send((word, script, 0))
    except (CommandError, StoreUnavailable) as error:
        return error
