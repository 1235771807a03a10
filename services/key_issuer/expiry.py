"""Reporting expiries: a key expires without anybody doing anything, so its program hears of it from this loop."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from services.key_issuer.issuer import Issuer

LOOK_SECONDS: Final = 3.0
"""Between two looks of one process; all replicas look."""
JITTER: Final = 0.2
AT_ONCE: Final = 500
"""Keys of one statement."""


async def run_expiries(issuer: Issuer) -> None:
    """Looks for keys that have expired, until cancelled; raises ``StoreUnavailable`` while PostgreSQL is away."""
    while True:
        await report_expired_keys(issuer)
        await asyncio.sleep(LOOK_SECONDS * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - jitter


async def report_expired_keys(issuer: Issuer) -> int:
    """Writes events for all keys of clients that have expired and are not reported yet; how many keys.

    Each statement is a transaction of its own, so that a process that dies leaves nothing half done and holds no lock; keys
    that another process reports or changes at this moment are left to it, or to the next look.

    Raises:
        StoreUnavailable: PostgreSQL is away; what is not reported yet is found by the next look, of any process.
    """
    reported = 0
    while True:
        keys: int = await issuer.database.fetchval("report_expired_keys", issuer.clock.now(), AT_ONCE)
        if keys:
            issuer.publish()
        reported += keys
        if keys < AT_ONCE:
            return reported
