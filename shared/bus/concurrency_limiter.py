"""What one consumer has in hand: how much more it may take, and when it is wise to let the next batch grow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

FRESH_SECONDS: Final = 0.05
"""A batch that has run for longer counts as slow and holds up no other."""


class ConcurrencyLimiter:
    """Entries being worked on, by id, and the batches among them.

    Few batches run at a time: while they do, the next one grows in the stream instead of in here. A slow one (it waits
    for a lock, say) no longer counts, so that it blocks nobody; only the slots bound the whole.
    """

    def __init__(self, slots: int, batches: int) -> None:
        """``batches``: how many young ones let no other begin; 0 where no handler takes batches."""
        self.held: dict[bytes, float] = {}
        self._slots = slots
        self._most_batches = batches
        self._young: dict[object, float] = {}
        self._changed: asyncio.Future[None] | None = None

    @property
    def free(self) -> int:
        """How many more entries may be taken."""
        return self._slots - len(self.held)

    def take(self, ids: Iterable[bytes]) -> None:
        """These are worked on now."""
        now = asyncio.get_running_loop().time()
        for entry_id in ids:
            self.held[entry_id] = now

    def drop(self, ids: Iterable[bytes]) -> None:
        """These are done with, or no longer ours."""
        for entry_id in ids:
            self.held.pop(entry_id, None)
        self.poke()

    def begin_batch(self) -> object:
        """A batch starts; give the token to ``end_batch``."""
        token = object()
        self._young[token] = asyncio.get_running_loop().time()
        return token

    def end_batch(self, token: object) -> None:
        """The handler of a batch has returned."""
        if self._young.pop(token, None) is not None:
            self.poke()

    def held_since(self, moment: float) -> list[bytes]:
        """What has been in hand since before ``moment`` of the loop's clock."""
        return [entry_id for entry_id, since in self.held.items() if since <= moment]

    def poke(self) -> None:
        """Something changed: whoever waits for room looks again."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def room(self) -> int:
        """How many entries may be read now; waits once for a change where there is no room, and may then be 0."""
        pause = self._pause()
        if pause is None and self.free > 0:
            return self.free
        loop = asyncio.get_running_loop()
        self._changed = loop.create_future()
        timer = loop.call_later(pause, self.poke) if pause is not None else None
        try:
            await self._changed
        finally:
            self._changed = None
            if timer is not None:
                timer.cancel()
        return self.free if self._pause() is None else 0

    def _pause(self) -> float | None:
        """Seconds until the oldest young batch counts as slow; ``None`` while another may begin."""
        if not self._most_batches or len(self._young) < self._most_batches:
            return None
        now = asyncio.get_running_loop().time()
        for token, since in tuple(self._young.items()):
            if now - since >= FRESH_SECONDS:
                del self._young[token]
        if len(self._young) < self._most_batches:
            return None
        return next(iter(self._young.values())) + FRESH_SECONDS - now
