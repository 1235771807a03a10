"""Consumers: one member of a group on a stream, with its reading, handling and recovery."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import structlog

from shared.bus import names
from shared.bus.acknowledger import Acknowledger
from shared.bus.bus import Bus
from shared.bus.dispatch import ConcurrencyLimiter, Dispatcher, GroupReader
from shared.bus.handlers import MessageHandler
from shared.bus.membership import Membership
from shared.bus.names import StreamKeys
from shared.bus.recovery import CLAIM_IDLE_MS, Recovery
from shared.errors import StoreUnavailable
from shared.redis.errors import CommandError

BATCH: Final = 128
SLOTS: Final = 512
YOUNG_BATCHES: Final = 1
"""While one runs, the next one grows: fewer and larger ones cost everybody less."""
RESUME_SECONDS: Final = 0.25
STOP_SECONDS: Final = 20.0

_log = structlog.get_logger("latchkey.bus")


class Consumer:
    """One worker on the command stream of a service.

    Nothing waits inside the process: it reads only what it has free slots for. An entry is answered, acknowledged and
    deleted when its handler has returned; delayed when a store was away; moved to the dead letters when it cannot be
    read, is of unknown type, fails time and again, or crashes its consumers.
    """

    def __init__(
        self,
        bus: Bus,
        queue: str,
        handlers: Sequence[MessageHandler],
        *,
        batch: int = BATCH,
        slots: int = SLOTS,
        claim_idle_ms: int = CLAIM_IDLE_MS,
        keys: StreamKeys | None = None,
    ) -> None:
        """Takes the commands of the service ``queue``.

        Args:
            batch: the most entries a handler gets at once.
            slots: the most entries that are worked on at the same time.
            claim_idle_ms: after how long a silent member's entries are taken over.
            keys: another stream and group than those of the service's commands.
        """
        keys = keys or StreamKeys(
            names.commands(queue), names.group(queue), names.dead(queue), names.delayed(queue)
        )
        self.keys = keys
        self.senders = {each.sender for each in handlers}
        """The services that are heard; an empty name is anybody's."""
        takes_batches = any(each.batch for each in handlers)
        self._limiter = ConcurrencyLimiter(slots, YOUNG_BATCHES if takes_batches else 0)
        self._acknowledger = Acknowledger(bus, keys)
        self._dispatcher = Dispatcher(bus, keys, handlers, self._limiter, self._acknowledger)
        self._recovery = Recovery(
            bus,
            keys,
            self._limiter,
            self._dispatcher,
            self._acknowledger,
            claim_idle_ms=claim_idle_ms,
            batch=batch,
        )
        self._member = Membership(bus, keys, self._recovery.take_up_own)
        self._reader = GroupReader(self._member, self._limiter, self._dispatcher.dispatch, batch=batch)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Consumes until ``stop``, through every outage; a bug ends it with its exception.

        After ``stop``: reads no more, gives what runs 20 s, hands the rest back, leaves the group. Cancelled: the
        same without the 20 s.
        """
        grace = 0.0
        reading = asyncio.create_task(self._reader.run(), name=f"{self.keys.stream} reading")
        side = [asyncio.create_task(work, name=f"{self.keys.stream} {name}") for name, work in self._side()]
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stopped, reading, *side], return_when=asyncio.FIRST_COMPLETED)
            grace = STOP_SECONDS
        finally:
            self.stop()
            await asyncio.shield(asyncio.ensure_future(self._end(reading, side, grace)))
        for task in (reading, *side):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def stop(self) -> None:
        """Reads no more; what runs is finished, then ``run`` returns."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._reader.stop()

    def _side(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        side = [
            ("recovery", self._recovery.run(self._stopping)),
            ("suspects", self._recovery.run_suspects(self._stopping)),
        ]
        return [*side, ("delayed", self._resume())] if self.keys.delayed else side

    async def _end(
        self, reading: asyncio.Task[None], side: Sequence[asyncio.Task[None]], grace: float
    ) -> None:
        await self._member.unblock()
        await asyncio.wait([reading])
        left = await self._dispatcher.drain(grace)
        for task in side:
            task.cancel()
        await asyncio.wait(side)
        try:
            await self._recovery.hand_back(left)
            await self._member.leave()
        except (StoreUnavailable, CommandError) as error:
            # Others find what is left by its age, and the janitor removes the member.
            _log.warning("left_without_goodbye", stream=self.keys.stream, reason=str(error))

    async def _resume(self) -> None:
        """Puts entries whose pause is over back into the stream, until cancelled."""
        while True:
            try:
                while await self._acknowledger.resume():
                    pass
            except (StoreUnavailable, CommandError) as error:
                _log.debug("resuming_interrupted", stream=self.keys.stream, reason=str(error))
            await asyncio.sleep(RESUME_SECONDS)


class EventConsumer(Consumer):
    """A group's member on an event stream: the same discipline, but entries stay for the other groups.

    What fails is tried again in here, its entry kept by heartbeats; a process that dies meanwhile leaves it to another.
    """

    def __init__(self, bus: Bus, stream: str, group: str, handlers: Sequence[MessageHandler]) -> None:
        """``stream`` is the event stream's name, ``group`` the consuming service's."""
        past_types = names.PAST_TYPES.get(stream, frozenset())
        keys = StreamKeys(names.event_stream(stream), group, names.event_dead(stream), None, past_types)
        super().__init__(bus, group, handlers, keys=keys)
