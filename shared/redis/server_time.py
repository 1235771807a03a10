"""The time by which deadlines are told: that of Redis, so that the clocks of two machines need not agree."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Final

import structlog

from shared.clock import Clock
from shared.errors import StoreUnavailable
from shared.redis.client import CoalescingRedis
from shared.redis.errors import CommandError

MEASURE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.5
EXACT_SECONDS: Final = 0.1
"""An answer that took longer (Redis was stopped, or we were) says too little about when it was given."""

_log = structlog.get_logger("latchkey.bus")


class RedisTime:
    """What Redis said last, and the time since then on a clock that nobody sets."""

    def __init__(self, clock: Clock) -> None:
        """``clock`` is believed until Redis has been asked."""
        self._clock = clock
        self._told: float | None = None

    def now(self) -> int:
        """Unix milliseconds by the clock of Redis."""
        if self._told is None:
            return self._clock.now()
        return int(self._told + monotonic() * 1000)

    async def measure(self, redis: CoalescingRedis) -> None:
        """Asks Redis once. Raises ``StoreUnavailable``."""
        before = monotonic()
        answer: list[Any] = await redis.execute("TIME")
        after = monotonic()
        if self._told is not None and after - before > EXACT_SECONDS:
            return
        here = (before + after) / 2
        self._told = int(answer[0]) * 1000 + int(answer[1]) / 1000 - here * 1000

    async def run(self, redis: CoalescingRedis) -> None:
        """Asks every few seconds until cancelled."""
        while True:
            try:
                await self.measure(redis)
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
            except CommandError as error:
                _log.warning("redis_time_unknown", reason=str(error))
                return
            else:
                await asyncio.sleep(MEASURE_SECONDS)
