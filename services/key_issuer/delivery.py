"""Delivery of keys: confirmed by whoever answered with them, and the end of those that nobody ever held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from services.key_issuer.db.repository import KeyRows, in_transaction
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import UNDELIVERED
from services.key_issuer.revocation import CHUNK
from shared.bus import Bus
from shared.contracts.clients import NoteUndelivered
from shared.errors import StoreUnavailable

LONGEST_PAUSE: Final = 30.0
_MARK_LIFE_MS: Final = 24 * 3600 * 1000

_log = structlog.get_logger(__name__)


async def confirm_deliveries(issuer: Issuer, key_ids: Sequence[str]) -> None:
    """These keys are in the hands they were made for; unknown and confirmed ones change nothing."""
    # Rows that another transaction holds are left out, lest two wait for each other; should that transaction be rolled
    # back, its row would wait for ever.
    for row in await issuer.database.fetch("confirm_deliveries", list(key_ids)):
        await issuer.database.execute("confirm_delivery", row["key_id"])


Report = Callable[[Sequence[str]], Awaitable[None]]
"""Hears the ids of keys that were revoked because nobody ever held them."""


async def sweep(issuer: Issuer, pending_seconds: int, report: Report | None = None) -> int:
    """Revokes the keys that nobody has confirmed for so long; how many."""
    now = issuer.clock.now()

    async def work(rows: KeyRows) -> list[str]:
        waiting = await rows.key_ids("lock_undelivered_keys", pending_seconds * 1000, CHUNK)
        return await rows.end_keys(waiting, UNDELIVERED, now)

    swept = 0
    while ended := await in_transaction(issuer.database, work):
        issuer.announce(ended)
        swept += len(ended)
        if report is not None:
            await report(ended)
    await issuer.database.execute("forget_replayed_codes", now - _MARK_LIFE_MS)
    return swept


async def report_undelivered(issuer: Issuer, bus: Bus, key_ids: Sequence[str]) -> None:
    """Lets auth_api tell the authors of the keys' clients; what cannot be told now is not told."""
    try:
        rows = await issuer.database.fetch("clients_of_keys", list(key_ids))
        if rows:
            await bus.send(NoteUndelivered(keys=tuple((row["client_id"], row["key_id"]) for row in rows)))
    except StoreUnavailable as error:
        _log.info("undelivered_keys_not_reported", reason=str(error))


async def run_sweeper(issuer: Issuer, pending_seconds: int, report: Report) -> None:
    """Sweeps for ever, at least every 30 s; an outage only delays it."""
    while True:
        await asyncio.sleep(min(LONGEST_PAUSE, max(pending_seconds / 2, 0.5)))
        try:
            swept = await sweep(issuer, pending_seconds, report)
        except StoreUnavailable as error:
            _log.warning("sweep_delayed", reason=str(error))
            continue
        if swept:
            _log.info("undelivered_keys_revoked", keys=swept)
