"""The tail of a broadcast: every process reads all of it, with a cursor of its own and word of any gap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog
from pydantic import ValidationError

from shared.bus import names
from shared.bus.bus import Bus
from shared.contracts.messages import BadEnvelopeError, Event, read_fields
from shared.errors import StoreUnavailable
from shared.redis.connection import RedisConnection
from shared.redis.errors import CommandError
from shared.redis.link import RedisLink
from shared.supervisor import Backoff

BLOCK_MS: Final = 1000
PATIENCE_SECONDS: Final = BLOCK_MS / 1000 + 1
READ_AT_ONCE: Final = 500
LONGEST_SILENCE: Final = 60.0
"""Seconds after which a process that was stopped no longer trusts its cursor; well below the age of trimming."""
NO_ENTRY: Final = b"0-0"

EventT = TypeVar("EventT", bound=Event)

_log = structlog.get_logger("latchkey.bus")


@dataclass(frozen=True, slots=True)
class BroadcastEntry(Generic[EventT]):
    """One entry of a broadcast: its id in the stream, the same for every process, and what it says."""

    id: bytes
    event: EventT


class StreamTail(Generic[EventT]):
    """Plain XREAD of the broadcast of one type of event, without a group.

    Whenever entries may have been missed (at the start, after a lost connection, where the stream began anew, for an
    entry that cannot be read) ``on_gap`` is told, which must then doubt everything it knows. It gets the past: what the
    stream holds before the entries that are told next, oldest first and without a hole, the newest ``most_past`` at most.
    Whoever finds there the last entry that it was told has missed only what follows it.
    """

    def __init__(
        self,
        bus: Bus,
        event: type[EventT],
        on_entry: Callable[[BroadcastEntry[EventT]], Awaitable[None]],
        on_gap: Callable[[Sequence[BroadcastEntry[EventT]]], Awaitable[None]],
        most_past: int = 0,
    ) -> None:
        """Nothing is read before ``run``."""
        self._bus = bus
        self._stream = names.event_stream(event.stream)
        self._types = {event.type: event}
        self._on_entry = on_entry
        self._on_gap = on_gap
        self._most_past = most_past
        self._cursor: bytes | None = None
        self._connection: RedisConnection | None = None
        self._last_read_at = float("-inf")

    async def run(self) -> None:
        """Reads until cancelled; outages are waited for in here."""
        link = RedisLink(
            self._bus.topology,
            self._stream,
            client_name=f"{self._bus.instance}:tail",
            patience=PATIENCE_SECONDS,
        )
        backoff = Backoff(first=0.05, longest=0.5)
        try:
            while True:
                try:
                    connection = await link.ready()
                    while connection.is_open:
                        await self._read(connection)
                        backoff.reset()
                except (StoreUnavailable, CommandError) as error:
                    if self._cursor is not None:
                        _log.warning("tail_interrupted", stream=self._stream, reason=str(error))
                    self._cursor = None
                    if isinstance(error, CommandError) and error.code == "MOVED":
                        link.moved()
                    await backoff.sleep()
        finally:
            await link.stop()

    async def _read(self, connection: RedisConnection) -> None:
        asked_at = self._bus.clock.monotonic()
        silence = asked_at - self._last_read_at
        if self._cursor is None or connection is not self._connection or silence > LONGEST_SILENCE:
            # First the end of the stream, then the gap: what is told between the two is told again.
            _, end = await self._bounds(connection)
            await self._on_gap(await self._past(connection, end))
            self._cursor, self._connection = end, connection
        begin = self._cursor
        answer = await connection.send(
            ("XREAD", "COUNT", READ_AT_ONCE, "BLOCK", BLOCK_MS, "STREAMS", self._stream, begin)
        )
        entries = answer[0][1] if answer else ()
        end = entries[-1][0] if entries else begin
        first, last = map(_position, await self._bounds(connection))
        known = _position(begin) if begin != NO_ENTRY else _position(end)
        now = self._bus.clock.monotonic()
        if last < _position(end) or first > known > (0, 0) or now - asked_at > LONGEST_SILENCE:
            # It was deleted, its server lost its newest entries, or this process was stopped while it waited: what came
            # after that one answer may be trimmed already. Nothing of it is told: an entry of a stream that began anew would
            # stand in the past for all that was lost with the old one.
            self._cursor = None
            return
        for entry_id, fields in entries:
            await self._tell(entry_id, fields)
            self._cursor = entry_id
        self._last_read_at = now

    async def _bounds(self, connection: RedisConnection) -> tuple[bytes, bytes]:
        """Where the stream begins and ends now; both ``0-0`` where there is none."""
        try:
            answer = await connection.send(("XINFO", "STREAM", self._stream))
        except CommandError as error:
            if error.code != "ERR":  # there is no such stream yet
                raise
            return NO_ENTRY, NO_ENTRY
        info = dict(zip(answer[::2], answer[1::2], strict=True))
        first = info[b"first-entry"]
        return first[0] if first else NO_ENTRY, info[b"last-generated-id"]

    async def _past(self, connection: RedisConnection, end: bytes) -> list[BroadcastEntry[EventT]]:
        """The newest entries up to ``end``, oldest first; nothing of what lies before one that cannot be read."""
        newest_first: list[BroadcastEntry[EventT]] = []
        while len(newest_first) < self._most_past:
            count = min(READ_AT_ONCE, self._most_past - len(newest_first))
            answer = await connection.send(("XREVRANGE", self._stream, end, "-", "COUNT", count))
            for entry_id, fields in answer:
                event = self._event_of(fields)
                if event is None:
                    return newest_first[::-1]
                newest_first.append(BroadcastEntry(entry_id, event))
            if len(answer) < count:
                break
            end = b"(" + answer[-1][0]
        return newest_first[::-1]

    async def _tell(self, entry_id: bytes, fields: list[bytes]) -> None:
        event = self._event_of(fields)
        if event is None:
            await self._on_gap(())
        else:
            await self._on_entry(BroadcastEntry(entry_id, event))

    def _event_of(self, fields: list[bytes]) -> EventT | None:
        """What an entry says; ``None``, and a line in the log, where it cannot be read."""
        try:
            envelope = read_fields(fields)
            return self._types[envelope.type].from_wire(envelope.body)
        except (BadEnvelopeError, ValidationError, KeyError) as error:
            _log.error("broadcast_unreadable", stream=self._stream, reason=type(error).__name__)
            return None


def _position(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or 0)
