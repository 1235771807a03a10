"""How much waits in each command stream; beyond the high-water mark new requests are refused, but taking back is not."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Final

from shared.bus.metrics import BusMetrics
from shared.contracts.base import Command
from shared.errors import BusUnavailable
from shared.redis.client import CoalescingRedis

HIGH_WATER: Final = 2_000
"""Entries of a command stream: about half a second of a busy worker's work."""
HIGHEST_WATER: Final = 50_000
"""For commands without a reply, which nobody waits for."""
MEASURE_SECONDS: Final = 0.05
BELIEVED_SECONDS: Final = 0.5
"""A length that was seen longer ago refuses nobody."""


class Backlogs:
    """The lengths of the streams this process writes to, as last seen; looked up beside the traffic, never before it."""

    def __init__(self, redis: CoalescingRedis, metrics: BusMetrics, high_water: int = HIGH_WATER) -> None:
        """Every stream counts as empty until it was measured."""
        self._redis = redis
        self._metrics = metrics
        self._high_water = high_water
        self._running: set[asyncio.Future[Any]] = set()
        self._asked: dict[str, float] = {}
        self._known: dict[str, tuple[int, float]] = {}

    def check(self, stream: str, command: type[Command[Any]] | Command[Any], *, awaited: bool) -> None:
        """Lets a new command pass, or not; what takes something back always passes.

        Raises:
            BusUnavailable: ``overload``.
        """
        now = monotonic()
        if now - self._asked.get(stream, -1.0) > MEASURE_SECONDS:
            self._asked[stream] = now
            self._measure(stream, command.queue)
        length, seen = self._known.get(stream, (0, 0.0))
        most = self._high_water if awaited else HIGHEST_WATER
        if length >= most and not command.always_passes and now - seen < BELIEVED_SECONDS:
            raise BusUnavailable("overload")

    def _measure(self, stream: str, queue: str) -> None:
        task = asyncio.ensure_future(self._redis.execute("XLEN", stream))
        self._running.add(task)
        task.add_done_callback(lambda done: self._measured(stream, queue, done))

    def _measured(self, stream: str, queue: str, done: asyncio.Future[Any]) -> None:
        self._running.discard(done)
        if done.cancelled() or done.exception() is not None:
            return
        length: int = done.result()
        self._known[stream] = length, monotonic()
        self._metrics.backlog.labels(queue).set(length)
