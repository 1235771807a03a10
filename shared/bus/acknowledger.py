"""How an entry ends that is not simply done: tried later, given up as a dead letter, answered with a word, or handed back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from pydantic import ValidationError

from shared.bus.handlers import MessageHandler
from shared.bus.names import StreamKeys
from shared.bus.requests import FAILED, UNAVAILABLE, MessageOutcome, answer_and_finish
from shared.bus.scripts import DEAD_LETTER, DELAY, HOLD, RESUME
from shared.contracts.messages import Envelope, Message
from shared.errors import StoreUnavailable
from shared.redis.connection import Argument
from shared.redis.errors import CommandError

if TYPE_CHECKING:
    from shared.bus.bus import Bus

RETRY_SECONDS: Final = (0.5, 2.0, 8.0, 30.0)
MOST_ATTEMPTS: Final = 5
LONGEST_REASON: Final = 300
RESUME_AT_ONCE: Final = 100

_log = structlog.get_logger("latchkey.bus")


@dataclass(slots=True)
class Entry:
    """One message in hand."""

    id: bytes
    envelope: Envelope
    message: Message
    handler: MessageHandler
    attempt: int


class EndedEntry(Exception):  # noqa: N818 - an entry whose handler is not started, or not again
    """An entry ends without success: given up for a ``reason``, or answered with a ``word``."""

    def __init__(
        self, entry_id: bytes, envelope: Envelope | None = None, *, reason: str = "", word: str = ""
    ) -> None:
        """``envelope``: ``None`` where the entry holds none that can be read; then nobody is answered."""
        super().__init__(reason or word)
        self.entry_id = entry_id
        self.envelope = envelope
        self.reason = reason
        self.word = word


class Acknowledger:
    """Moves the entries of one member of a group, and only those that the member still holds."""

    def __init__(self, bus: Bus, keys: StreamKeys) -> None:
        """``keys.delayed`` also says whether entries are deleted when done."""
        self._bus = bus
        self._keys = keys
        self._member = bus.instance
        self._deletes = keys.delayed is not None

    async def settle(self, ended: EndedEntry) -> None:
        """Makes an entry a dead letter where there is a reason, and answers the requester."""
        bus, envelope = self._bus, ended.envelope
        kind = "unknown" if envelope is None or ended.reason.startswith("unknown") else envelope.type
        bus.metrics.handled(kind, FAILED if ended.reason else ended.word or "deleted").inc()
        if ended.reason and not await self.dead_letter(ended.entry_id, ended.reason):
            return  # another member works on it now, and will say how it ends
        word = ended.word or f"{FAILED}: {ended.reason}"
        outcomes: list[MessageOutcome] = [] if envelope is None else [(envelope, None, word)]
        now = bus.time.now()
        await answer_and_finish(bus.redis, self._keys, [ended.entry_id], outcomes, source=bus.source, now=now)

    async def put_off(self, entry: Entry, error: Exception) -> float | None:
        """Has an entry tried later whose handler failed, or gives it up.

        A store that is away is no fault of the message: without a deadline it waits as long as that takes.

        Returns:
            Seconds after which this member is to try it again itself: an event belongs to other groups too and cannot
            leave the stream. ``None`` where nothing is left to do here.
        """
        envelope, outage = entry.envelope, isinstance(error, StoreUnavailable)
        if outage:
            _log.warning("delayed", type=envelope.type, message_id=envelope.id, reason=str(error))
        else:
            _log.error("handler_failed", type=envelope.type, message_id=envelope.id, exc_info=error)
        pause = RETRY_SECONDS[min(entry.attempt, len(RETRY_SECONDS)) - 1]
        pause_ms = int(pause * 1000 * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        too_late = envelope.expires_on and self._bus.time.now() + pause_ms >= envelope.expires_on
        hopeless = not outage and entry.attempt >= MOST_ATTEMPTS
        if hopeless or (too_late and not outage):
            reason = f"{type(error).__name__} in try {entry.attempt}"
            await self.settle(EndedEntry(entry.id, envelope, reason=reason))
        elif too_late:
            await self.settle(EndedEntry(entry.id, envelope, word=UNAVAILABLE))
        else:
            self._bus.metrics.handled(envelope.type, "delayed").inc()
            if self._keys.delayed is None:
                return pause_ms / 1000
            await self._bus.redis.run_script(
                DELAY,
                [self._keys.stream, self._keys.delayed],
                [self._keys.group, self._member, entry.id, pause_ms],
            )
        return None

    async def resume(self) -> int:
        """Puts back what was delayed and whose pause is over; how many."""
        assert self._keys.delayed is not None
        keys = [self._keys.delayed, self._keys.stream]
        resumed: int = await self._bus.redis.run_script(RESUME, keys, [RESUME_AT_ONCE])
        return resumed

    async def dead_letter(self, entry_id: bytes, reason: str) -> bool:
        """Moves an entry to the dead letters, where it waits for an operator; whether it was there to be moved."""
        now = self._bus.time.now()
        told = ("reason", reason[:LONGEST_REASON], "by", self._member, "on", now)
        moved: int = await self._bus.redis.run_script(
            DEAD_LETTER,
            [self._keys.stream, self._keys.dead],
            [self._keys.group, self._member, entry_id, int(self._deletes), *told],
        )
        if moved:
            _log.error(
                "dead_letter",
                stream=self._keys.stream,
                entry=entry_id.decode(),
                reason=reason[:LONGEST_REASON],
            )
        return bool(moved)

    async def keep(self, ids: Sequence[bytes], idle_ms: int = 0) -> int:
        """Tells the group that these entries are worked on, or (with ``idle_ms``) left; how many are held still."""
        args: list[Argument] = [self._keys.group, self._member, idle_ms, *ids]
        held: int = await self._bus.redis.run_script(HOLD, [self._keys.stream], args)
        return held

    def left_pending(self, ids: Sequence[bytes], error: BaseException) -> None:
        """Says in the log that these could not be ended: they come again, and the handler's effects are idempotent."""
        told = {"stream": self._keys.stream, "entries": len(ids)}
        if isinstance(error, StoreUnavailable):
            _log.warning("not_settled", **told, reason=str(error))
        elif isinstance(error, CommandError) and error.code == "NOGROUP":
            _log.warning("stream_vanished", **told)
        else:
            _log.error("not_settled", **told, exc_info=error)


def why_unreadable(error: Exception) -> str:
    """Where a body is wrong and how; never what it held."""
    if not isinstance(error, ValidationError):
        return type(error).__name__
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['type']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    )
