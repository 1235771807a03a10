"""How an entry ends: done and answered, delayed, given up as a dead letter, or handed back untouched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from shared.bus.handlers import MessageHandler
from shared.bus.names import StreamKeys
from shared.bus.scripts import DEAD_LETTER, DELAY, HOLD, LEAVE, RESUME
from shared.contracts.messages import Envelope, Message
from shared.redis.connection import Argument
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
    handler: MessageHandler
    attempt: int


class Acknowledger:
    """Moves the entries of one member of a group, and only those that the member still holds."""

    def __init__(self, bus: Bus, keys: StreamKeys) -> None:
        """``keys.delayed`` also says whether entries are deleted when done."""
        self._bus = bus
        self._keys = keys
        self._member = bus.instance
        self._deletes = keys.delayed is not None

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
