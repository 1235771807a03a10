"""Recovery: heartbeats for what takes long, and taking over what members held that have died."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from shared.bus.acknowledger import Acknowledger
from shared.bus.dispatch import ConcurrencyLimiter, Dispatcher
from shared.bus.names import StreamKeys
from shared.errors import StoreUnavailable
from shared.redis.errors import CommandError

if TYPE_CHECKING:
    from shared.bus.bus import Bus

CLAIM_IDLE_MS: Final = 15_000
MOST_DELIVERIES: Final = 5
"""An entry that was begun so often and never ended has crashed whoever began it."""
MOST_OWN: Final = 1000

_log = structlog.get_logger("latchkey.bus")


class Recovery:
    """The side task of one member.

    Entries are claimed without counting as delivered, and counted one by one as they are begun: of those that were
    begun twice already, only one runs at a time. So the one that crashes its consumers is found, and what merely
    stood beside it is not given up with it.
    """

    def __init__(
        self,
        bus: Bus,
        keys: StreamKeys,
        limiter: ConcurrencyLimiter,
        dispatcher: Dispatcher,
        acknowledger: Acknowledger,
        *,
        claim_idle_ms: int,
        batch: int,
    ) -> None:
        """``claim_idle_ms``: after how long a silent member's entries are taken over."""
        self._bus = bus
        self._keys = keys
        self._limiter = limiter
        self._dispatcher = dispatcher
        self._acknowledger = acknowledger
        self._idle_ms = claim_idle_ms
        self._batch = batch
        self._cursor: bytes = b"0-0"
        self._claiming = asyncio.Lock()
        self._suspects: deque[bytes] = deque()
        self._wake = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Looks a few times in the time after which entries count as left; once ``stopping``, only keeps its own."""
        interval = self._idle_ms / 4000
        while True:
            for step in (self._beat,) if stopping.is_set() else (self._beat, self._claim):
                try:
                    await step()
                except StoreUnavailable:
                    break
                except CommandError as error:
                    if error.code != "NOGROUP":
                        _log.error("recovery_failed", stream=self._keys.stream, reason=str(error))
                    break
            await asyncio.sleep(interval)

    async def run_suspects(self, stopping: asyncio.Event) -> None:
        """Begins suspects one after the other, until ``stopping`` or cancelled."""
        while True:
            self._wake.clear()
            while self._suspects and not stopping.is_set():
                entry_id = self._suspects.popleft()
                try:
                    await self._begin_alone(entry_id)
                except (StoreUnavailable, CommandError) as error:
                    _log.warning("suspect_left", stream=self._keys.stream, reason=str(error))
                finally:
                    self._limiter.drop((entry_id,))
            await self._wake.wait()

    async def take_up_own(self) -> None:
        """Begins what Redis counts as ours and is not in hand: an answer of Redis was lost on its way to us."""
        async with self._claiming:
            room = min(self._batch, self._limiter.free)
            if room <= 0:
                return
            keys = self._keys
            # Without XREADGROUP: that would count everything in hand as delivered once more.
            rows: list[Any] = await self._bus.redis.execute(
                "XPENDING", keys.stream, keys.group, "-", "+", MOST_OWN, self._bus.instance
            )
            left = [(row[0], int(row[3])) for row in rows if row[0] not in self._limiter.held][:room]
            await self._sort([entry_id for entry_id, _ in left], [begun for _, begun in left])

    async def hand_back(self, ids: Sequence[bytes]) -> None:
        """Of these, what is ours still may be taken by others at once."""
        if ids:
            held = await self._acknowledger.keep(ids, self._idle_ms + 1)
            _log.info("handed_back", stream=self._keys.stream, entries=held)

    async def _beat(self) -> None:
        """Tells the group that what takes long is still worked on."""
        slow = self._limiter.held_since(asyncio.get_running_loop().time() - self._idle_ms / 4000)
        if slow:
            held = await self._acknowledger.keep(slow)
            if held < len(slow):
                _log.warning("taken_over_by_another", stream=self._keys.stream, entries=len(slow) - held)

    async def _claim(self) -> None:
        async with self._claiming:
            room = min(self._batch, self._limiter.free)
            if room <= 0:
                return
            keys = self._keys
            self._cursor, claimed, *_ = await self._bus.redis.execute(
                "XAUTOCLAIM", keys.stream, keys.group, self._bus.instance, self._idle_ms, self._cursor,
                "COUNT", room, "JUSTID",
            )  # fmt: skip
            ids: list[bytes] = [entry_id for entry_id in claimed if entry_id not in self._limiter.held]
            if ids:
                _log.info("took_over", stream=keys.stream, entries=len(ids))
                await self._sort(ids, await self._deliveries(ids))

    async def _deliveries(self, ids: Sequence[bytes]) -> list[int | None]:
        """How often each was begun; ``None`` for what is not ours any more."""
        keys = self._keys
        answers: list[Any] = await self._bus.redis.execute_many(
            [("XPENDING", keys.stream, keys.group, entry_id, entry_id, 1) for entry_id in ids]
        )
        own = self._bus.instance.encode()
        return [
            int(answer[0][3]) if isinstance(answer, list) and answer and answer[0][1] == own else None
            for answer in answers
        ]

    async def _sort(self, ids: Sequence[bytes], deliveries: Sequence[int | None]) -> None:
        unsuspected = []
        for entry_id, begun in zip(ids, deliveries, strict=True):
            if begun is None:
                continue
            if begun >= MOST_DELIVERIES:
                await self._acknowledger.dead_letter(entry_id, f"crashed its consumer {begun} times")
            elif begun > 1:
                self._limiter.take((entry_id,))
                self._suspects.append(entry_id)
                self._wake.set()
            else:
                unsuspected.append(entry_id)
        if unsuspected:
            self._dispatcher.dispatch(await self._begin(unsuspected))

    async def _begin_alone(self, entry_id: bytes) -> None:
        if await self._deliveries([entry_id]) == [None]:
            return
        entries = await self._begin([entry_id])
        self._limiter.drop((entry_id,))
        tasks = self._dispatcher.dispatch(entries)
        if tasks:
            await asyncio.wait(tasks)

    async def _begin(self, ids: Sequence[bytes]) -> list[Any]:
        """The entries, counted as delivered once more."""
        held = await self._bus.redis.execute(
            "XCLAIM", self._keys.stream, self._keys.group, self._bus.instance, 0, *ids
        )
        return [entry for entry in held if entry is not None]
