"""The time by which deadlines are told: that of Redis, so that the clocks of two machines need not agree."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from shared.bus.redis_client import CoalescingRedis
from shared.clock import Clock
from shared.errors import StoreUnavailable

MEASURE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.5


class RedisTime:
    """This machine's clock, corrected by what Redis said last."""

    def __init__(self, clock: Clock) -> None:
        """Uncorrected as yet."""
        self._clock = clock
        self._ahead = 0

    def now(self) -> int:
        """Unix milliseconds by the clock of Redis."""
        return self._clock.now() + self._ahead

    async def measure(self, redis: CoalescingRedis) -> None:
        """Asks Redis once. Raises ``StoreUnavailable``."""
        before = self._clock.now()
        answer: list[Any] = await redis.execute("TIME")
        after = self._clock.now()
        told = int(answer[0]) * 1000 + int(answer[1]) // 1000
        self._ahead = told - (before + after) // 2

    async def run(self, redis: CoalescingRedis) -> None:
        """Asks every few seconds until cancelled."""
        while True:
            try:
                await self.measure(redis)
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                await asyncio.sleep(MEASURE_SECONDS)
