"""The outbox relay: events written in a transaction reach their streams, also when this process dies half-way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import structlog

from shared.bus import names
from shared.bus.bus import Bus
from shared.bus.envelope import pack
from shared.database import Database
from shared.failpoints import failpoint

BATCH: Final = 500
POLL_SECONDS: Final = 0.5
BROADCAST_AGE_MS: Final = 600_000
KEEP_PUBLISHED_MS: Final = 24 * 3600 * 1000
PURGE_SECONDS: Final = 600.0

_log = structlog.get_logger("latchkey.bus")

# Rows of transactions that commit late are found too: there is no cursor, only what is not published yet.
_SELECT: Final = """
SELECT id, stream, type, body, traceparent, created_on FROM outbox
WHERE published_on IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_MARK: Final = "UPDATE outbox SET published_on = $2 WHERE id = ANY($1::bigint[])"
_PURGE: Final = "DELETE FROM outbox WHERE published_on < $1"


class OutboxRelay:
    """Publishes the outbox of one schema; several may run, each row goes out at least once with the same id."""

    def __init__(self, database: Database, bus: Bus, schema: str) -> None:
        """``schema`` names the service's rows in message ids and logs."""
        self._database = database
        self._bus = bus
        self._schema = schema
        self._wake = asyncio.Event()

    def kick(self) -> None:
        """There is something new: do not wait for the next look."""
        self._wake.set()

    async def run(self) -> None:
        """Publishes until cancelled; raises ``StoreUnavailable`` while a store is away (a supervisor starts it again)."""
        purge_on = self._bus.clock.monotonic() + PURGE_SECONDS
        while True:
            self._wake.clear()
            while await self._publish_batch() == BATCH:
                pass
            if self._bus.clock.monotonic() > purge_on:
                purge_on = self._bus.clock.monotonic() + PURGE_SECONDS
                async with self._database.connection() as connection:
                    await connection.execute(_PURGE, self._bus.clock.now() - KEEP_PUBLISHED_MS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def _publish_batch(self) -> int:
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_SELECT, BATCH)
            if not rows:
                return 0
            results = await self._bus.redis.execute_many([self._append(row) for row in rows])
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            await failpoint("outbox.after_publish_before_mark")
            await connection.execute(_MARK, [row["id"] for row in rows], self._bus.clock.now())
        now = self._bus.clock.now()
        self._bus.metrics.outbox_lag.set((now - rows[0]["created_on"]) / 1000)
        for row in rows:
            self._bus.metrics.relayed.labels(row["type"]).inc()
        return len(rows)

    def _append(self, row: Any) -> list[bytes | str | int]:
        body = row["body"]
        fields = pack(
            row["type"],
            body.encode() if isinstance(body, str) else bytes(body),
            message_id=f"{self._schema}-{row['id']}",
            source=self._bus.source,
            now=row["created_on"],
            trace=row["traceparent"],
        )
        command: list[bytes | str | int] = ["XADD", names.event_stream(row["stream"])]
        if row["stream"] in names.BROADCASTS:
            command += ["MINID", "~", self._bus.clock.now() - BROADCAST_AGE_MS]
        return [*command, "*", *fields]
