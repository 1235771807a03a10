"""The janitor: trims event streams to what every group has read, and removes members that are long gone."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

import structlog

from shared.bus import names
from shared.bus.bus import Bus
from shared.bus.scripts import LEAVE
from shared.redis.errors import CommandError

ROUND_SECONDS: Final = 30.0
LEAST_EVENT_AGE_MS: Final = 24 * 3600 * 1000
MOST_UNREAD: Final = 100_000
"""Events of a stream without groups: enough for a new service to begin with, too few to fill the memory."""
MOST_READ: Final = 10_000
"""Events beyond which what every group has read goes however young it is: a loop of one person fills no memory."""
GONE_MS: Final = 600_000

_log = structlog.get_logger("latchkey.bus")


class Janitor:
    """Keeps streams short without ever dropping an entry that somebody must still read."""

    def __init__(self, bus: Bus, service: str | None = None) -> None:
        """Works on the commands to a service and the events that it writes, or on all; several at once do no harm."""
        self._bus = bus
        services = names.QUEUES_OF if service is None else (service,)
        self._queues = [queue for each in services for queue in names.QUEUES_OF[each]]
        self._events = [stream for each in services for stream in names.EVENTS_OF[each]]

    async def run(self) -> None:
        """Cleans until cancelled; raises ``StoreUnavailable`` while Redis is away."""
        while True:
            await self.clean()
            await asyncio.sleep(ROUND_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def clean(self) -> None:
        """One round. Raises ``StoreUnavailable``."""
        for queue in self._queues:
            await self._measure(queue)
            await self._remove_gone(names.commands(queue))
        for stream in self._events:
            await self._trim(names.event_stream(stream))
            await self._remove_gone(names.event_stream(stream))

    async def _measure(self, queue: str) -> None:
        metrics = self._bus.metrics
        length = await self._bus.redis.execute("XLEN", names.commands(queue))
        letters = await self._bus.redis.execute("XLEN", names.dead(queue))
        metrics.backlog.labels(queue).set(length)
        metrics.dead_letters.labels(queue).set(letters)

    async def _groups(self, stream: str) -> list[dict[bytes, Any]]:
        try:
            rows = await self._bus.redis.execute("XINFO", "GROUPS", stream)
        except CommandError:  # there is no such stream yet
            return []
        return [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]

    async def _trim(self, stream: str) -> None:
        """Trims to the low-water mark of all groups, but keeps a day of few events; what nobody reads is kept short."""
        groups = await self._groups(stream)
        if not groups:
            await self._bus.redis.execute("XTRIM", stream, "MAXLEN", "~", MOST_UNREAD)
        many = groups and await self._bus.redis.execute("XLEN", stream) > MOST_READ
        marks = [] if many else [(self._bus.time.now() - LEAST_EVENT_AGE_MS, 0)]
        for group in groups:
            summary = await self._bus.redis.execute("XPENDING", stream, group[b"name"])
            mark = summary[1] if summary[0] else group[b"last-delivered-id"]
            milliseconds, _, sequence = mark.partition(b"-")
            marks.append((int(milliseconds), int(sequence)))
        lowest = min(marks)
        await self._bus.redis.execute("XTRIM", stream, "MINID", "~", f"{lowest[0]}-{lowest[1]}")

    async def _remove_gone(self, stream: str) -> None:
        for group in await self._groups(stream):
            rows = await self._bus.redis.execute("XINFO", "CONSUMERS", stream, group[b"name"])
            for row in rows:
                member = dict(zip(row[::2], row[1::2], strict=True))
                if member[b"pending"] == 0 and member[b"idle"] > GONE_MS:
                    await self._bus.redis.run_script(LEAVE, [stream], [group[b"name"], member[b"name"]])
                    _log.info("member_removed", stream=stream, member=member[b"name"].decode())
