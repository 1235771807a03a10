"""The end of old rows of a service: some at a time, by the clock of PostgreSQL, until none is too old."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Final

import structlog

from shared.database import Database

ROUND_SECONDS: Final = 3600.0
BATCH: Final = 1_000
PAUSE_SECONDS: Final = 0.05
"""Between two batches, so that whoever waits behind them comes first."""

_log = structlog.get_logger("latchkey.purge")


class Purge:
    """Deletes what is older than so many days, for ever; several at once do no harm."""

    def __init__(self, database: Database, days: Mapping[str, int]) -> None:
        """``days`` of each query, which deletes rows older than ``$1`` days, at most ``$2``; with 0 days all are kept."""
        self._database = database
        self._days = days

    async def run(self) -> None:
        """Purges now and every hour, until cancelled; raises ``StoreUnavailable`` while PostgreSQL is away."""
        while True:
            await self.purge()
            await asyncio.sleep(ROUND_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def purge(self) -> int:
        """Deletes all that is too old now; how many rows. Raises ``StoreUnavailable``."""
        return sum([await self._purge(query, days) for query, days in self._days.items()])

    async def _purge(self, query: str, days: int) -> int:
        purged = 0
        while days:
            status = await self._database.execute(query, days, BATCH)
            deleted = int(status.rpartition(" ")[2])
            purged += deleted
            if deleted < BATCH:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if purged:
            _log.info("purged", query=query, rows=purged, older_than_days=days)
        return purged
