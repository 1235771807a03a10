"""How much waits in each command stream; beyond the high-water mark new requests are refused at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from shared.bus.metrics import BusMetrics
from shared.bus.redis_client import CoalescingRedis
from shared.errors import BusUnavailable, StoreUnavailable

HIGH_WATER: Final = 2_000
"""Entries of a command stream: about half a second of a busy worker's work."""
HIGHEST_WATER: Final = 50_000
"""For commands without a reply, which nobody waits for."""
MEASURE_SECONDS: Final = 0.05


class Backlogs:
    """The lengths of the streams this process writes to, as last seen; looked up beside the traffic, never before it."""

    def __init__(self, redis: CoalescingRedis, metrics: BusMetrics, high_water: int = HIGH_WATER) -> None:
        """Every stream counts as empty until it was measured."""
        self._redis = redis
        self._metrics = metrics
        self._high_water = high_water
        self._known: dict[str, tuple[int, float]] = {}
        self._queues: dict[str, str] = {}

    def check(self, stream: str, queue: str, *, awaited: bool) -> None:
        """Lets a new entry pass, or not.

        Raises:
            BusUnavailable: ``overload``.
        """
        now = asyncio.get_running_loop().time()
        length, measured = self._known.get(stream, (0, -1.0))
        if now - measured > MEASURE_SECONDS:
            self._known[stream] = length, now
            self._queues[stream] = queue
            self._measure(stream)
        if length >= (self._high_water if awaited else HIGHEST_WATER):
            raise BusUnavailable("overload")

    def _measure(self, stream: str) -> None:
        with suppress(StoreUnavailable):
            future = self._redis.send(("XLEN", stream))
            future.add_done_callback(lambda done: self._measured(stream, done))

    def _measured(self, stream: str, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        length: int = done.result()
        self._known[stream] = length, self._known[stream][1]
        self._metrics.backlog.labels(self._queues[stream]).set(length)
