"""How an entry ends: done and answered, put aside for later, buried with a reason, or handed back untouched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from shared.bus.envelope import Envelope
from shared.bus.handlers import Handler
from shared.bus.replies import reply_command
from shared.bus.scripts import BURY, HOLD, LEAVE, PUT_ASIDE, RESUME
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
class Lane:
    """One stream and group, and the keys beside them; all in one slot of a cluster."""

    stream: str
    group: str
    dead: str
    delayed: str | None
    """``None`` on event streams: what comes back later would come back to every group."""


class Settlement:
    """Ends the entries of one member of a group. Every method but ``done`` moves only what the member still holds."""

    def __init__(self, bus: Bus, lane: Lane) -> None:
        """``lane.delayed`` also says whether entries are deleted when done."""
        self._bus = bus
        self._lane = lane
        self._member = bus.instance
        self._deletes = lane.delayed is not None

    @property
    def can_put_aside(self) -> bool:
        """Whether ``put_aside`` may be called."""
        return self._lane.delayed is not None

    async def done(self, ids: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
        """Answers and finishes entries in one round trip; the answers first, so that a crash between repeats them.

        A member that was taken for dead may do so too: what it did is committed, so the entry is done.

        Raises:
            StoreUnavailable: the entries may come again.
        """
        bus, lane = self._bus, self._lane
        common: tuple[Argument, ...] = ("v", "1", "src", bus.source, "ts", bus.time.now())
        replies: defaultdict[str, list[bytes]] = defaultdict(list)
        for envelope, body, problem in outcomes:
            if envelope.reply_to:
                command = reply_command(envelope.reply_to, envelope.id, common, body, problem)
                replies[envelope.reply_to].append(pack(command))
        for reply_to, packed in replies.items():
            there = await bus.redis.connection_for(reply_to)
            there.write(b"".join(packed), (None,) * len(packed))
        connection = await bus.redis.connection_for(lane.stream)
        if self._deletes:
            # First, and not in a transaction: an id that is pending though its entry is gone is dropped by whoever
            # claims it, but an entry that is acknowledged and not deleted would stay for ever.
            connection.write(pack(("XDEL", lane.stream, *ids)), (None,))
        await connection.send(("XACK", lane.stream, lane.group, *ids))

    async def put_aside(self, entry_id: bytes, pause_ms: int) -> None:
        """Moves an entry out of the way until its pause is over."""
        assert self._lane.delayed is not None
        await self._bus.redis.run_script(
            PUT_ASIDE,
            [self._lane.stream, self._lane.delayed],
            [self._lane.group, self._member, entry_id, pause_ms],
        )

    async def resume(self) -> int:
        """Puts back what was put aside and whose pause is over; how many."""
        assert self._lane.delayed is not None
        keys = [self._lane.delayed, self._lane.stream]
        resumed: int = await self._bus.redis.run_script(RESUME, keys, [RESUME_AT_ONCE])
        return resumed

    async def bury(self, entry_id: bytes, reason: str) -> bool:
        """Moves an entry to the dead letters, where it waits for an operator; whether it was there to be moved."""
        now = self._bus.time.now()
        told = ("reason", reason[:LONGEST_REASON], "by", self._member, "on", now)
        buried: int = await self._bus.redis.run_script(
            BURY,
            [self._lane.stream, self._lane.dead],
            [self._lane.group, self._member, entry_id, int(self._deletes), *told],
        )
        if buried:
            _log.error(
                "dead_letter",
                stream=self._lane.stream,
                entry=entry_id.decode(),
                reason=reason[:LONGEST_REASON],
            )
        return bool(buried)

    async def keep(self, ids: Sequence[bytes], idle_ms: int = 0) -> int:
        """Tells the group that these entries are worked on, or (with ``idle_ms``) left; how many are held still."""
        args: list[Argument] = [self._lane.group, self._member, idle_ms, *ids]
        held: int = await self._bus.redis.run_script(HOLD, [self._lane.stream], args)
        return held

    async def leave(self) -> None:
        """Removes the member from the group if it holds nothing."""
        try:
            await self._bus.redis.run_script(LEAVE, [self._lane.stream], [self._lane.group, self._member])
        except CommandError as error:
            if error.code not in ("NOGROUP", "ERR"):  # no group, or no stream: nothing to leave
                raise
