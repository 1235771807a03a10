"""The end of old lines of a service's audit: some at a time, by the clock of PostgreSQL, until none is too old."""

from __future__ import annotations

import asyncio
import random
from typing import Final

import structlog

from shared.database import Database

ROUND_SECONDS: Final = 3600.0
BATCH: Final = 1_000
PAUSE_SECONDS: Final = 0.05
"""Between two batches, so that whoever waits behind them comes first."""

_log = structlog.get_logger("latchkey.audit")


class AuditPurge:
    """Deletes what is older than so many days, for ever; several at once do no harm."""

    def __init__(self, database: Database, query: str, days: int) -> None:
        """``query`` deletes some of what is older than ``$1`` days, at most ``$2`` lines; with 0 days all are kept."""
        self._database = database
        self._query = query
        self._days = days

    async def run(self) -> None:
        """Purges now and every hour, until cancelled; raises ``StoreUnavailable`` while PostgreSQL is away."""
        while True:
            purged = await self.purge()
            if purged:
                _log.info("audit_purged", lines=purged, older_than_days=self._days)
            await asyncio.sleep(ROUND_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def purge(self) -> int:
        """Deletes all that is too old now; how many lines. Raises ``StoreUnavailable``."""
        purged = 0
        while self._days:
            status = await self._database.execute(self._query, self._days, BATCH)
            deleted = int(status.rpartition(" ")[2])
            purged += deleted
            if deleted < BATCH:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        return purged
