"""The tail of a broadcast: every process reads all of it, with a cursor of its own and word of any gap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import redis.exceptions
import structlog
from pydantic import ValidationError

from shared.bus import names
from shared.bus.bus import Bus
from shared.bus.connection import BlockingRedis
from shared.bus.envelope import BadEnvelopeError, unpack
from shared.bus.supervisor import Backoff
from shared.contracts.base import Event
from shared.contracts.events import KeysNarrowed
from shared.errors import StoreUnavailable

BLOCK_MS: Final = 1000
BROADCAST_EVENTS: Final[tuple[type[Event], ...]] = (KeysNarrowed,)

_log = structlog.get_logger("latchkey.bus")


class StreamTail:
    """Plain XREAD of a broadcast stream: no group, nothing is missed on a reconnect without ``on_gap`` being told."""

    def __init__(
        self,
        bus: Bus,
        stream: str,
        on_entry: Callable[[Event], Awaitable[None]],
        on_gap: Callable[[], Awaitable[None]],
    ) -> None:
        """``on_gap`` is told whenever entries may have been missed, and at the start."""
        self._bus = bus
        self._stream = names.event_stream(stream)
        self._events = {event.type: event for event in BROADCAST_EVENTS if event.stream == stream}
        self._on_entry = on_entry
        self._on_gap = on_gap
        self.last_read_on = float("-inf")
        """Monotonic seconds of the last completed read; old means that this process may not know of revocations."""

    async def run(self) -> None:
        """Reads until cancelled; outages are waited for in here."""
        reader = BlockingRedis(self._bus.url)
        backoff = Backoff(longest=0.5)
        cursor: bytes | None = None
        try:
            while True:
                try:
                    if cursor is None:
                        cursor = await self._last_id()
                        await self._on_gap()
                    found = await reader.execute(
                        "XREAD", "COUNT", 500, "BLOCK", BLOCK_MS, "STREAMS", self._stream, cursor,
                        wait_seconds=BLOCK_MS / 1000,
                    )  # fmt: skip
                    for entry_id, fields in found[0][1] if found else ():
                        cursor = entry_id
                        await self._tell(fields)
                    if not found:
                        cursor = await self._unless_replaced(cursor)
                    self.last_read_on = self._bus.clock.monotonic()
                    backoff.reset()
                except (StoreUnavailable, redis.exceptions.ResponseError) as error:
                    _log.warning("tail_interrupted", stream=self._stream, reason=str(error))
                    await backoff.sleep()
                    cursor = await self._after_outage(cursor)
        finally:
            await reader.close()

    async def _last_id(self) -> bytes:
        """Where the stream ends now."""
        try:
            info = await self._bus.redis.execute("XINFO", "STREAM", self._stream)
        except redis.exceptions.ResponseError:
            return b"0-0"
        found: bytes = dict(zip(info[::2], info[1::2], strict=True))[b"last-generated-id"]
        return found

    async def _unless_replaced(self, cursor: bytes) -> bytes | None:
        """``None`` where the stream ends before the cursor: it was deleted, or its server lost its newest entries."""
        return cursor if _position(await self._last_id()) >= _position(cursor) else None

    async def _after_outage(self, cursor: bytes | None) -> bytes | None:
        """The cursor to go on with; ``None`` where entries behind it may be gone."""
        if cursor is None:
            return None
        try:
            first = await self._bus.redis.execute("XRANGE", self._stream, "-", "+", "COUNT", 1)
            if not first or _position(first[0][0]) > _position(cursor):
                return None
            return await self._unless_replaced(cursor)
        except (StoreUnavailable, redis.exceptions.ResponseError):
            return cursor

    async def _tell(self, fields: list[bytes]) -> None:
        try:
            envelope = unpack(fields)
            event = self._events[envelope.type].from_wire(envelope.body)
        except (BadEnvelopeError, ValidationError, KeyError) as error:
            # What cannot be read may have been a revocation: act as if it had concerned everything.
            _log.error("broadcast_unreadable", stream=self._stream, reason=type(error).__name__)
            await self._on_gap()
        else:
            await self._on_entry(event)


def _position(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or 0)
