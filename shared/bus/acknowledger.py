"""How an entry ends: done and answered, delayed, given up as a dead letter, or handed back untouched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from shared.bus.envelope import Envelope
from shared.bus.handlers import Handler
from shared.bus.requests import reply_command
from shared.bus.scripts import DEAD_LETTER, DELAY, HOLD, LEAVE, RESUME
from shared.contracts.base import Message
from shared.redis.connection import Argument, pack
from shared.redis.errors import CommandError

if TYPE_CHECKING:
    from shared.bus.bus import Bus

LONGEST_REASON: Final = 300
RESUME_AT_ONCE: Final = 100

_log = structlog.get_logger("latchkey.bus")


@dataclass(slots=True)
class Entry:
    """One message in hand."""

    id: bytes
    envelope: Envelope
    message: Message
    handler: Handler
    attempt: int


Outcome = tuple[Envelope, bytes | None, str]
"""Of a message: the reply's body, or the word for why there is none."""


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """One stream and group, and the keys beside them; all in one slot of a cluster."""

    stream: str
    group: str
    dead: str
    delayed: str | None
    """``None`` on event streams: what comes back later would come back to every group."""


class Acknowledger:
    """Ends the entries of one member of a group. Every method but ``done`` moves only what the member still holds."""

    def __init__(self, bus: Bus, keys: StreamKeys) -> None:
        """``keys.delayed`` also says whether entries are deleted when done."""
        self._bus = bus
        self._keys = keys
        self._member = bus.instance
        self._deletes = keys.delayed is not None

    @property
    def can_delay(self) -> bool:
        """Whether ``delay`` may be called."""
        return self._keys.delayed is not None

    async def done(self, ids: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
        """Answers and finishes entries in one round trip; the answers first, so that a crash between repeats them.

        A member that was taken for dead may do so too: what it did is committed, so the entry is done.

        Raises:
            StoreUnavailable: the entries may come again.
        """
        bus, keys = self._bus, self._keys
        common: tuple[Argument, ...] = ("v", "1", "src", bus.source, "ts", bus.time.now())
        replies: defaultdict[str, list[bytes]] = defaultdict(list)
        for envelope, body, problem in outcomes:
            if envelope.reply_to:
                command = reply_command(envelope.reply_to, envelope.id, common, body, problem)
                replies[envelope.reply_to].append(pack(command))
        for reply_to, packed in replies.items():
            there = await bus.redis.connection_for(reply_to)
            there.write(b"".join(packed), (None,) * len(packed))
        connection = await bus.redis.connection_for(keys.stream)
        if self._deletes:
            # First, and not in a transaction: an id that is pending though its entry is gone is dropped by whoever
            # claims it, but an entry that is acknowledged and not deleted would stay for ever.
            connection.write(pack(("XDEL", keys.stream, *ids)), (None,))
        await connection.send(("XACK", keys.stream, keys.group, *ids))

    async def delay(self, entry_id: bytes, pause_ms: int) -> None:
        """Moves an entry out of the way until its pause is over."""
        assert self._keys.delayed is not None
        await self._bus.redis.run_script(
            DELAY,
            [self._keys.stream, self._keys.delayed],
            [self._keys.group, self._member, entry_id, pause_ms],
        )

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

    async def leave(self) -> None:
        """Removes the member from the group if it holds nothing."""
        try:
            await self._bus.redis.run_script(LEAVE, [self._keys.stream], [self._keys.group, self._member])
        except CommandError as error:
            if error.code not in ("NOGROUP", "ERR"):  # no group, or no stream: nothing to leave
                raise
