"""What a member of a group does: reads what it has room for, runs the handlers, settles what they return or raise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import structlog

from shared.bus import names
from shared.bus.acknowledger import Acknowledger, EndedEntry, Entry, why_unreadable
from shared.bus.handlers import Delivery, MessageHandler
from shared.bus.membership import Membership
from shared.bus.names import StreamKeys
from shared.bus.requests import DEADLINE, answer_and_finish
from shared.contracts.messages import BadEnvelopeError, Message, RawEntry, read_fields
from shared.errors import StoreUnavailable
from shared.failpoints import ARMED, failpoint
from shared.redis.errors import CommandError
from shared.supervisor import Backoff
from shared.telemetry.correlation import correlation, trace

if TYPE_CHECKING:
    from shared.bus.bus import Bus

FRESH_SECONDS: Final = 0.05
"""A batch that has run for longer counts as slow and holds up no other."""
PAST: Final = "past"
"""How an entry ends that an earlier release wrote and nobody needs."""

_log = structlog.get_logger("latchkey.bus")


class GroupReader:
    """Reads as many entries as there is room for, and gives them to ``dispatch``; a read is never cancelled."""

    def __init__(
        self,
        member: Membership,
        limiter: ConcurrencyLimiter,
        dispatch: Callable[[Sequence[RawEntry]], object],
        *,
        batch: int,
    ) -> None:
        """``batch``: the most entries of one read."""
        self._member = member
        self._limiter = limiter
        self._dispatch = dispatch
        self._batch = batch
        self._stopping = False

    async def run(self) -> None:
        """Reads until ``stop``, through every outage."""
        member, backoff = self._member, Backoff(first=0.05, longest=0.5)
        try:
            while not self._stopping:
                room = min(self._batch, await self._limiter.room())
                if room <= 0 or self._stopping:
                    continue
                try:
                    connection = member.connection
                    if connection is None or not connection.is_open:
                        connection = await member.join()
                    answer = await connection.send((*member.asks, "COUNT", room, *member.for_what_is_new))
                    if not answer and not self._stopping:
                        await member.show_up(connection)
                except (StoreUnavailable, CommandError) as error:
                    member.interrupted(error, tell=backoff.fresh)
                    await backoff.sleep()
                    continue
                if not backoff.fresh:
                    backoff.reset()
                if answer:
                    self._dispatch(answer[0][1])
        finally:
            await member.disconnect()

    def stop(self) -> None:
        """Lets ``run`` return after the read that is under way."""
        self._stopping = True
        self._limiter.poke()


class Dispatcher:
    """Runs the handlers of one consumer; every entry given to it is settled, or left pending for another to take."""

    def __init__(
        self,
        bus: Bus,
        keys: StreamKeys,
        handlers: Sequence[MessageHandler],
        limiter: ConcurrencyLimiter,
        acknowledger: Acknowledger,
    ) -> None:
        """``limiter`` holds each entry from ``dispatch`` until it is settled."""
        self._bus = bus
        self._keys = keys
        self._handlers: Mapping[str, MessageHandler] = {each.message.type: each for each in handlers}
        senders = {each.sender for each in handlers}
        self._answered: tuple[str, ...] = tuple(names.replies_begin(sender) for sender in senders)
        """What the name of a stream begins with that may be answered in: with our rights, an answer could go anywhere."""
        self._limiter = limiter
        self._acknowledger = acknowledger
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._left: list[bytes] = []

    def dispatch(self, raw: Sequence[RawEntry]) -> list[asyncio.Task[None]]:
        """Starts work on entries that this member holds; what is in hand already is passed over."""
        now = self._bus.time.now()
        batches: dict[str, list[Entry]] = {}
        tasks = []
        for entry_id, fields in raw:
            if entry_id in self._limiter.held:
                continue
            self._limiter.take((entry_id,))
            try:
                entry = self._read(entry_id, fields, now)
            except EndedEntry as ended:
                tasks.append(self._start([entry_id], self._acknowledger.settle(ended)))
                continue
            if entry.handler.batch:
                batches.setdefault(entry.envelope.type, []).append(entry)
            else:
                tasks.append(self._start([entry_id], self._run_single(entry)))
        for batch in batches.values():
            tasks.extend(
                self._start([entry.id for entry in part], self._run(part)) for part in _once_each(batch)
            )
        return tasks

    async def drain(self, seconds: float) -> list[bytes]:
        """Lets what runs come to its end, ``seconds`` at most; the entries that are left without one."""
        self._stopping.set()
        if self._running and seconds:
            await asyncio.wait(self._running, timeout=seconds)
        left = [*self._left, *self._limiter.held]
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1)
        return left

    def _read(self, entry_id: bytes, fields: Sequence[bytes] | None, now: int) -> Entry:
        if fields is None:
            raise EndedEntry(entry_id)
        try:
            envelope = read_fields(fields)
        except BadEnvelopeError as error:
            raise EndedEntry(entry_id, reason=f"no message of ours: {error}") from None
        if envelope.reply_to and not envelope.reply_to.startswith(self._answered):
            raise EndedEntry(entry_id, reason="it wants its answer in a stream that is not its sender's")
        handler = self._handlers.get(envelope.type)
        if handler is None and envelope.type in self._keys.past_types:
            raise EndedEntry(entry_id, envelope, word=PAST)
        if handler is None:
            raise EndedEntry(entry_id, envelope, reason=f"unknown type {envelope.type[:60]}")
        if handler.sender not in ("", envelope.source):
            raise EndedEntry(entry_id, envelope, reason=f"not for {envelope.source[:60]} to say")
        if envelope.expires_on and envelope.expires_on <= now:
            raise EndedEntry(entry_id, envelope, word=DEADLINE)
        try:
            message: Message = handler.message.from_wire(envelope.body, envelope.attached)
        except Exception as error:  # noqa: BLE001 - whatever a body can do, it ends no reader
            raise EndedEntry(entry_id, envelope, reason=f"unreadable body: {why_unreadable(error)}") from None
        return Entry(entry_id, envelope, message, handler, envelope.attempt)

    def _start(self, ids: Sequence[bytes], work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._running.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._running.discard(done)
            self._limiter.drop(ids)
            if not done.cancelled() and (error := done.exception()) is not None:
                self._acknowledger.left_pending(ids, error)

        task.add_done_callback(ended)
        return task

    async def _run_single(self, entry: Entry) -> None:
        envelope = entry.envelope
        correlation.set(envelope.correlation or envelope.id)
        trace.set((envelope.traceparent, envelope.tracestate))
        structlog.contextvars.bind_contextvars(message_id=envelope.id, request_id=envelope.correlation)
        await self._run([entry])

    async def _run(self, entries: Sequence[Entry]) -> None:
        while entries:
            entries = await self._try(entries)

    async def _try(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those of them that are to be tried again, here and now."""
        self._observe(entries)
        token = self._limiter.begin_batch() if entries[0].handler.batch else None
        try:
            if ARMED:
                await failpoint("bus.after_read_before_handler")
            replies = await self._call(entries)
        finally:
            self._limiter.end_batch(token)
        done: list[tuple[Entry, Any]] = []
        failed: list[tuple[Entry, Exception]] = []
        for entry, reply in zip(entries, replies, strict=True):
            if isinstance(reply, Exception):
                failed.append((entry, reply))
            else:
                done.append((entry, reply))
        if done:
            await self._succeeded([entry for entry, _ in done], [reply for _, reply in done])
        if not failed:
            return ()
        again = await asyncio.gather(*(self._failed(entry, error) for entry, error in failed))
        return [entry for (entry, _), wanted in zip(failed, again, strict=True) if wanted]

    async def _call(self, entries: Sequence[Entry]) -> Sequence[Any]:
        """The replies in the order of the entries, with an exception where there is none."""
        handler, deliveries = entries[0].handler, [_delivery(entry) for entry in entries]
        messages = [entry.message for entry in entries]
        given = (messages, deliveries) if handler.batch else (messages[0], deliveries[0])
        try:
            with self._traced(entries[0].envelope.type, deliveries):
                answer = await handler.function(*given[: 2 if handler.takes_delivery else 1])
            replies: Sequence[Any] = answer if handler.batch else [answer]
            _check_length(replies, entries)
        except Exception as error:  # noqa: BLE001 - every failure of a handler has its place
            if len(entries) == 1 or isinstance(error, StoreUnavailable):
                return [error] * len(entries)
            _log.error("batch_failed", type=entries[0].envelope.type, entries=len(entries), exc_info=error)
            return [(await self._call([entry]))[0] for entry in entries]
        return replies

    def _traced(self, message_type: str, deliveries: Sequence[Delivery]) -> AbstractContextManager[None]:
        tracer = self._bus.tracer
        return nullcontext() if tracer is None else tracer.processing(message_type, deliveries)

    async def _succeeded(self, entries: Sequence[Entry], replies: Sequence[Any]) -> None:
        if ARMED:
            await failpoint("bus.after_handler_before_ack")
        outcomes = [
            (entry.envelope, b"{}" if reply is None else reply.to_wire(), "")
            for entry, reply in zip(entries, replies, strict=True)
        ]
        await answer_and_finish(
            self._bus.redis,
            self._keys,
            [entry.id for entry in entries],
            outcomes,
            source=self._bus.source,
            now=self._bus.time.now(),
        )
        self._bus.metrics.handled(entries[0].envelope.type, "ok").inc(len(entries))

    async def _failed(self, entry: Entry, error: Exception) -> bool:
        """Whether to try it again here and now. Until then it waits in here, kept by heartbeats."""
        pause = await self._acknowledger.put_off(entry, error)
        if pause is None:
            return False
        try:
            async with asyncio.timeout(pause):
                await self._stopping.wait()
                self._left.append(entry.id)
                return False
        except TimeoutError:
            entry.attempt += 1
            return True

    def _observe(self, entries: Sequence[Entry]) -> None:
        sent_on = entries[0].envelope.created_on
        lag = (self._bus.time.now() - sent_on) / 1000
        self._bus.metrics.lag(entries[0].envelope.type).observe(max(0.0, lag))
        self._bus.metrics.batch_size(entries[0].envelope.type).observe(len(entries))


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
        self._young: dict[object, asyncio.TimerHandle] = {}
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
        loop = asyncio.get_running_loop()
        self._young[token] = loop.call_later(FRESH_SECONDS, self.end_batch, token)
        return token

    def end_batch(self, token: object) -> None:
        """The handler of a batch has returned, or is slow."""
        slow = self._young.pop(token, None)
        if slow is not None:
            slow.cancel()
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
        room = self._room()
        if room > 0:
            return room
        self._changed = asyncio.get_running_loop().create_future()
        try:
            await self._changed
        finally:
            self._changed = None
        return self._room()

    def _room(self) -> int:
        return 0 if 0 < self._most_batches <= len(self._young) else self.free


def _once_each(batch: list[Entry]) -> list[list[Entry]]:
    """A message that a nervous sender appended twice is not given to a handler twice in one batch."""
    if len({entry.envelope.id for entry in batch}) == len(batch):
        return [batch]
    first: dict[str, Entry] = {}
    again = [entry for entry in batch if first.setdefault(entry.envelope.id, entry) is not entry]
    return [list(first.values()), *_once_each(again)]


def _check_length(replies: Sequence[Any], entries: Sequence[Entry]) -> None:
    if len(replies) != len(entries):
        raise TypeError(f"{len(replies)} replies to {len(entries)} messages")


def _delivery(entry: Entry) -> Delivery:
    envelope = entry.envelope
    return Delivery(
        envelope.id,
        envelope.source,
        envelope.created_on,
        envelope.expires_on or None,
        entry.attempt,
        envelope.traceparent,
        envelope.tracestate,
    )
