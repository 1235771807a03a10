"""The outbox relay: events written in a transaction reach their streams, also when this process or Redis dies half-way.

Table ``outbox`` of a service's schema: ``id`` bigint identity, ``stream``, ``type`` text, ``body`` bytea or jsonb,
``traceparent`` text, ``created_on`` bigint, ``published_on`` bigint, null until the event has left.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import structlog

from shared.bus import names
from shared.bus.bus import Bus
from shared.contracts.messages import Envelope, Event, format_uuid7
from shared.database import Database
from shared.errors import StoreUnavailable
from shared.failpoints import ARMED, failpoint
from shared.redis.connection import Argument
from shared.redis.errors import CommandError
from shared.redis.full import FULL

BATCH: Final = 500
POLL_SECONDS: Final = 0.5
GATHER_SECONDS: Final = 0.02
BROADCAST_AGE_MS: Final = 600_000
KEEP_PUBLISHED_MS: Final = 24 * 3600 * 1000
PURGE_SECONDS: Final = 60.0
PURGE_AT_ONCE: Final = 5_000
"""Rows of one statement; a purge goes on until nothing is left that is old enough."""
HEARTBEAT_SECONDS: Final = 1.0
FORGOTTEN_MS: Final = 10_000
"""What a Redis that was killed may have forgotten (``appendfsync everysec``: one or two seconds), with room to spare."""
MOST_AGAIN: Final = 100_000
"""Events that go out again when their whole stream is gone: as many as the janitor keeps of what nobody reads."""

_log = structlog.get_logger("latchkey.bus")

# Rows of transactions that commit late are found too: there is no cursor, only what is not published yet.
_SELECT: Final = """
SELECT id, stream, type, body, traceparent, created_on FROM outbox
WHERE published_on IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_BEGUN: Final = "(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
"""What rows are compared with: a time that moves meanwhile cannot be looked up in an index, only asked of every row."""
_MARK: Final = f"UPDATE outbox SET published_on = {_NOW} WHERE id = ANY($1::bigint[])"  # noqa: S608 - our own words
_UNMARK: Final = f"""
UPDATE outbox SET published_on = NULL
WHERE published_on >= least((SELECT max(published_on) FROM outbox), {_BEGUN} - $1::bigint) - $2::bigint
"""  # noqa: S608 - our own words
_AGAIN: Final = """
UPDATE outbox SET published_on = NULL
WHERE id IN (SELECT id FROM outbox WHERE published_on IS NOT NULL AND stream = $1 ORDER BY published_on DESC LIMIT $2)
"""
_PURGE: Final = f"""
DELETE FROM outbox WHERE id = ANY (ARRAY(
    SELECT id FROM outbox WHERE published_on < {_BEGUN} - $1::bigint LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""  # noqa: S608 - our own words
# Without a lock: rows that another relay holds, or that one has failed to publish, wait too.
_WAITS: Final = "SELECT EXISTS (SELECT FROM outbox WHERE published_on IS NULL AND stream = $1)"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a relay appends to a broadcast that has been silent for a second: everything committed so far is published.

    It vouches for all relays of the schema, so one of them is enough; it does not go out while an event of the
    broadcast waits in the outbox, be it that Redis refuses writes or that another relay hangs.
    """

    stream: str
    event: Callable[[int], Event]
    """Makes the event for a time in Unix milliseconds."""
    last_heard_at: Callable[[], float]
    """Monotonic seconds at which this process last read an entry of the broadcast."""


class OutboxRelay:
    """Publishes the outbox of one schema; several may run. Each row goes out at least once, always with the same id.

    A Redis that is killed forgets its last second, events that were marked among it. So the events of the last seconds
    before Redis was started anew, and before this process was, go out again; and all that are kept, where a stream was
    emptied: who had not read it yet must still hear of it.
    """

    def __init__(self, database: Database, bus: Bus, schema: str, heartbeat: Heartbeat | None = None) -> None:
        """``schema`` is part of the events' ids."""
        self._database = database
        self._bus = bus
        self._heartbeat = heartbeat
        self._streams = names.EVENTS_OF.get(bus.source, names.EVENT_STREAMS)
        self._wake = asyncio.Event()
        self.kick: Final = self._wake.set
        """There is something new: do not wait for the next look."""
        self._family = zlib.crc32(schema.encode()) & 0x3FF
        self._run_id: str | None = None
        self._lengths: dict[str, int] = {}
        """Of each stream, how many entries were ever added to it, or fewer."""
        self._alive_at = 0.0
        self._beat_at = float("-inf")
        self._purge_at = 0.0

    async def run(self) -> None:
        """Publishes until cancelled; raises ``StoreUnavailable`` while a store is away (a supervisor starts it again)."""
        while True:
            self._wake.clear()
            await self._republish_after_restart()
            await self._refill_emptied_streams()
            published = await self.publish()
            await self._beat()
            await self._purge()
            if published:
                await asyncio.sleep(GATHER_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def publish(self) -> int:
        """Publishes what there is; how many events. Raises ``StoreUnavailable``."""
        published = 0
        while True:
            rows = await self._publish_batch()
            published += rows
            if rows < BATCH:
                return published
            await self._beat()

    async def _publish_batch(self) -> int:
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_SELECT, BATCH)
            if not rows:
                self._bus.metrics.outbox_lag.set(0)
                return 0
            await self._append_all([self._append(row) for row in rows])
            if ARMED:
                await failpoint("outbox.after_publish_before_mark")
            await connection.execute(_MARK, [row["id"] for row in rows])
        self._bus.metrics.outbox_lag.set(max(0, self._bus.clock.now() - rows[0]["created_on"]) / 1000)
        for row in rows:
            self._bus.metrics.relayed(row["type"]).inc()
            self._lengths[row["stream"]] = self._lengths.get(row["stream"], 0) + 1
        return len(rows)

    async def _append_all(self, commands: Sequence[Sequence[Argument]]) -> None:
        """Appends events, also to a full Redis: each of them tells that something was taken back.

        Some may be appended twice then.
        """
        redis = self._bus.redis
        try:
            results = await redis.execute_many(commands)
        except StoreUnavailable as error:
            if error.reason != FULL:
                raise
            results = [await redis.execute_even_if_full(*command) for command in commands]
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _append(self, row: Any) -> list[Argument]:
        body, created_on = row["body"], row["created_on"]
        envelope = Envelope(
            id=format_uuid7(created_on, self._family << 64 | row["id"]),
            type=row["type"],
            source=self._bus.source,
            created_on=created_on,
            body=body.encode() if isinstance(body, str) else bytes(body),
            traceparent=row["traceparent"] or "",
        )
        return self._append_to(row["stream"], envelope)

    def _append_to(self, stream: str, envelope: Envelope) -> list[Argument]:
        command: list[Argument] = ["XADD", names.event_stream(stream)]
        if stream in names.BROADCASTS:
            command += ["MINID", "~", self._bus.time.now() - BROADCAST_AGE_MS]
        return [*command, "*", *envelope.to_fields()]

    async def _beat(self) -> None:
        """Appends a heartbeat where the broadcast is silent and no event of it waits."""
        heartbeat, now = self._heartbeat, self._bus.clock.monotonic()
        if heartbeat is None or now - max(self._beat_at, heartbeat.last_heard_at()) < HEARTBEAT_SECONDS:
            return
        async with self._database.connection() as connection:
            if await connection.fetchval(_WAITS, heartbeat.stream):
                return
        wall = self._bus.clock.now()
        event = heartbeat.event(wall)
        envelope = Envelope(self._bus.ids.new(wall), event.type, self._bus.source, wall, event.to_wire())
        await self._bus.redis.execute_even_if_full(*self._append_to(heartbeat.stream, envelope))
        self._beat_at = now

    async def _republish_after_restart(self) -> None:
        """Where Redis was started anew since the last look: what was published shortly before goes out again."""
        await self._bus.ping()
        run_id, now = self._bus.server.run_id, self._bus.clock.monotonic()
        if run_id != self._run_id:
            silence = 0 if self._run_id is None else int((now - self._alive_at) * 1000)
            async with self._database.connection() as connection:
                answer = await connection.execute(_UNMARK, silence, FORGOTTEN_MS)
            if (again := int(answer.rpartition(" ")[2])) and self._run_id is not None:
                _log.warning("redis_was_restarted", events_published_again=again)
            self._run_id = run_id
            self._lengths.clear()
        self._alive_at = now

    async def _refill_emptied_streams(self) -> None:
        """Where a stream holds less than it ever did (FLUSHALL, DEL, a lost disk): what was in it goes out again."""
        for stream in self._streams:
            length = await self._entries_ever(stream)
            if length < self._lengths.get(
                stream, 1
            ):  # at the first look, after a restart, an empty one will do
                async with self._database.connection() as connection:
                    answer = await connection.execute(_AGAIN, stream, MOST_AGAIN)
                if again := int(answer.rpartition(" ")[2]):
                    _log.warning("stream_was_emptied", stream=stream, events_published_again=again)
            self._lengths[stream] = length

    async def _entries_ever(self, stream: str) -> int:
        """How many entries were ever added to a stream; 0 where there is none."""
        try:
            told: list[Any] = await self._bus.redis.execute("XINFO", "STREAM", names.event_stream(stream))
        except CommandError as error:
            if error.code != "ERR":  # there is no such stream
                raise
            return 0
        return int(dict(zip(told[::2], told[1::2], strict=True))[b"entries-added"])

    async def _purge(self) -> None:
        """Deletes what was published long ago, some rows at a time; what is new meanwhile does not wait for it."""
        now = self._bus.clock.monotonic()
        if now < self._purge_at:
            return
        self._purge_at = now + PURGE_SECONDS
        while await self._purge_some() == PURGE_AT_ONCE:
            await self.publish()
            await self._beat()

    async def _purge_some(self) -> int:
        async with self._database.connection() as connection:
            answer = await connection.execute(_PURGE, KEEP_PUBLISHED_MS, PURGE_AT_ONCE)
        return int(answer.rpartition(" ")[2])


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What one schema's outbox still has to tell; ``oldest_ms`` is the age of its oldest event."""

    schema: str
    unpublished: int
    oldest_ms: int


async def outbox_status(
    connection: asyncpg.Connection[asyncpg.Record], schema: str, now: int
) -> OutboxStatus:
    """Looks at the outbox of a schema; ``now`` in Unix milliseconds."""
    row = await connection.fetchrow(
        f"SELECT count(*), min(created_on) FROM {schema}.outbox WHERE published_on IS NULL"  # noqa: S608 - our own
    )
    assert row is not None
    return OutboxStatus(schema, row[0], max(0, now - row[1]) if row[0] else 0)
