"""The consumer: reads entries of one stream as a group, hands them to handlers, answers, and finishes them."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson
import redis.exceptions
import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from shared.bus import names
from shared.bus.bus import BLOCK_MS, Bus
from shared.bus.connection import BlockingRedis
from shared.bus.envelope import BadEnvelopeError, Envelope, unpack
from shared.bus.scripts import BURY, DELAY, FINISH, LEAVE, RESUME
from shared.bus.supervisor import Backoff
from shared.contracts.base import Command, Event, Message
from shared.errors import StoreUnavailable
from shared.failpoints import failpoint

CLAIM_IDLE_MS: Final = 15_000
RECOVERY_SECONDS: Final = 3.0
RESUME_SECONDS: Final = 0.25
MOST_DELIVERIES: Final = 5
MOST_ATTEMPTS: Final = 5
RETRY_SECONDS: Final = (0.5, 2.0, 8.0, 30.0)
REPLY_MAXLEN: Final = 10_000
MOST_BATCHES: Final = 3
STOP_SECONDS: Final = 20.0
IDLE_CONSUMER_MS: Final = 3_600_000

_log = structlog.get_logger("latchkey.bus")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a handler may want to know of the message besides its body."""

    message_id: str
    source: str
    created_on: int
    expires_on: int | None
    attempt: int
    trace: str | None


@dataclass(frozen=True, slots=True)
class Handler:
    """A function for one type of message; see ``handler``."""

    message: type[Command[Any] | Event]
    function: Callable[..., Awaitable[Any]]
    batch: bool


def handler(
    message: type[Command[Any] | Event], function: Callable[..., Awaitable[Any]], *, batch: bool = False
) -> Handler:
    """Names the function for a type of message.

    Single: ``function(message, delivery)`` → the reply (nothing for an event). Batch: ``function(messages, deliveries)``
    → as many replies in the same order; an exception in a place fails that message alone.
    """
    return Handler(message, function, batch)


@dataclass(slots=True)
class _Entry:
    id: bytes
    fields: list[bytes]
    envelope: Envelope
    message: Message


class Consumer:
    """One group member on one stream.

    Nothing waits inside the process: it reads only as many entries as it has free slots. An entry is finished (answered,
    acknowledged, deleted) when its handler returns; put aside for a later try when a store was away; moved to the dead
    letters when it cannot be read, its type is unknown, a handler fails on it time and again, or it crashed its consumer.
    """

    def __init__(
        self,
        bus: Bus,
        queue: str,
        handlers: Sequence[Handler],
        *,
        batch: int = 128,
        slots: int = 512,
        claim_idle_ms: int = CLAIM_IDLE_MS,
    ) -> None:
        """Reads the command stream of the service ``queue``.

        Args:
            batch: the most entries a handler gets at once.
            slots: the most entries that are worked on at the same time.
            claim_idle_ms: after how long a silent member's entries are taken over.
        """
        self._bus = bus
        self.stream = names.commands(queue)
        self.delayed = names.delayed(queue)
        self.dead = names.dead(queue)
        self.group = names.group(queue)
        self.name = bus.instance
        self.delete_when_done = True
        self._handlers = {each.message.type: each for each in handlers}
        self._batch = batch
        self._slots = slots
        self._claim_idle_ms = claim_idle_ms
        self._stopping = asyncio.Event()
        self._active: dict[bytes, float] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._claim_cursor: bytes = b"0-0"
        self._batches = 0
        # Few at a time: while they run, the next batch grows in the stream instead of in here.
        self._most_batches = max(1, MOST_BATCHES * sum(each.batch for each in handlers))
        self._counters: dict[tuple[str, str], Counter] = {}

    async def run(self) -> None:
        """Consumes until ``stop``; outages are waited for in here, a bug ends it with its exception."""
        side = [
            asyncio.create_task(work(), name=f"{self.stream} {name}")
            for name, work in (
                ("recovery", self._recover),
                ("heartbeat", self._beat),
                ("delayed", self._resume),
            )
        ]
        reading = asyncio.create_task(self._read(), name=f"{self.stream} reading")
        try:
            await asyncio.wait([reading, *side], return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, *side):
                if task.done() and not task.cancelled() and (error := task.exception()):
                    raise error
            if self._running:
                await asyncio.wait(self._running, timeout=STOP_SECONDS)
        finally:
            for task in (reading, *side, *self._running):
                task.cancel()
            await asyncio.wait([reading, *side])
            with suppress(StoreUnavailable, redis.exceptions.ResponseError):
                await self._bus.redis.run_script(LEAVE, [self.stream], [self.group, self.name])

    def stop(self) -> None:
        """Reads no more; what runs is finished, then ``run`` returns."""
        self._stopping.set()

    # Reading ---------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        reader = BlockingRedis(self._bus.url)
        backoff = Backoff()
        ready = False
        try:
            while not self._stopping.is_set():
                if not await self._has_room():
                    continue
                try:
                    if not ready:
                        await self._create_group()
                        ready = True
                    count = min(self._batch, self._slots - len(self._active))
                    found = await reader.execute(
                        "XREADGROUP", "GROUP", self.group, self.name, "COUNT", count, "BLOCK", BLOCK_MS,
                        "STREAMS", self.stream, ">", wait_seconds=BLOCK_MS / 1000,
                    )  # fmt: skip
                    backoff.reset()
                except (StoreUnavailable, redis.exceptions.ResponseError) as error:
                    # NOGROUP and UNBLOCKED: the stream was deleted or flushed under us; also after an outage.
                    _log.warning("reading_interrupted", stream=self.stream, reason=str(error))
                    ready = False
                    await backoff.sleep()
                    continue
                if found:
                    self._dispatch(found[0][1])
        finally:
            await reader.close()

    async def _has_room(self) -> bool:
        if len(self._active) < self._slots and self._batches < self._most_batches:
            return True
        self._freed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._freed.wait(), 0.5)
        return False

    async def _create_group(self) -> None:
        try:
            await self._bus.redis.execute("XGROUP", "CREATE", self.stream, self.group, "0", "MKSTREAM")
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _dispatch(self, entries: Sequence[tuple[bytes, list[bytes] | None]]) -> None:
        """Sorts entries by type and starts their handlers."""
        by_type: dict[str, list[_Entry]] = defaultdict(list)
        now = asyncio.get_running_loop().time()
        for entry_id, fields in entries:
            if entry_id in self._active:
                continue
            self._active[entry_id] = now
            entry = self._parse(entry_id, fields)
            if entry is not None:
                by_type[entry.envelope.type].append(entry)
        for message_type, group in by_type.items():
            found = self._handlers[message_type]
            if found.batch:
                self._start(self._handle_batch(found, group), group)
            else:
                for entry in group:
                    self._start(self._handle_one(found, entry), [entry])

    def _parse(self, entry_id: bytes, fields: list[bytes] | None) -> _Entry | None:
        """The entry as a message; what is none, or is too old, is settled here."""
        if fields is None:
            self._start(self._finish([entry_id]), entry_id)
            return None
        try:
            envelope = unpack(fields)
            message = self._handler_for(envelope.type).message.from_wire(envelope.body)
        except (BadEnvelopeError, ValidationError) as error:
            reason = f"{type(error).__name__}: {_without_values(error)}"
            self._start(self._bury(entry_id, fields, reason), entry_id)
            return None
        entry = _Entry(entry_id, fields, envelope, message)
        if envelope.expires_on is not None and envelope.expires_on <= self._bus.clock.now():
            self._start(self._settle([(entry, "deadline_exceeded", b"")]), [entry])
            return None
        return entry

    def _handler_for(self, message_type: str) -> Handler:
        try:
            return self._handlers[message_type]
        except KeyError:
            raise BadEnvelopeError(f"unknown type {message_type[:40]!r}") from None

    def _start(self, work: Any, entries: Sequence[_Entry] | bytes) -> None:
        ids = [entries] if isinstance(entries, bytes) else [entry.id for entry in entries]

        def done(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            for entry_id in ids:
                self._active.pop(entry_id, None)
            self._freed.set()
            if (
                not task.cancelled()
                and (error := task.exception())
                and not isinstance(error, StoreUnavailable)
            ):
                # Left pending: another try comes by recovery, and the fifth crash buries it.
                _log.error("entry_not_settled", stream=self.stream, exc_info=error)

        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(done)

    # Handling --------------------------------------------------------------------------------------------------------

    async def _handle_one(self, chosen: Handler, entry: _Entry) -> None:
        self._observe(chosen, [entry])
        try:
            with structlog.contextvars.bound_contextvars(message_id=entry.envelope.id):
                reply = await chosen.function(entry.message, _delivery(entry.envelope))
        except Exception as error:  # noqa: BLE001 - every failure of a handler has its place
            await self._failed(entry, error)
        else:
            await failpoint("bus.after_handler_before_ack")
            await self._settle([(entry, "ok", _body(reply))])

    async def _handle_batch(self, chosen: Handler, entries: list[_Entry]) -> None:
        self._observe(chosen, entries)
        self._batches += 1
        try:
            replies = await chosen.function(
                [entry.message for entry in entries], [_delivery(entry.envelope) for entry in entries]
            )
        except Exception as error:  # noqa: BLE001 - every failure of a handler has its place
            await asyncio.gather(*(self._failed(entry, error) for entry in entries))
            return
        finally:
            self._batches -= 1
        await failpoint("bus.after_handler_before_ack")
        done = []
        for entry, reply in zip(entries, replies, strict=True):
            if isinstance(reply, Exception):
                await self._failed(entry, reply)
            else:
                done.append((entry, "ok", _body(reply)))
        if done:
            await self._settle(done)

    def _observe(self, chosen: Handler, entries: Sequence[_Entry]) -> None:
        metrics = self._bus.metrics
        name = chosen.message.type
        metrics.batch_size.labels(name).observe(len(entries))
        metrics.lag.labels(name).observe(
            max(0, self._bus.clock.now() - entries[0].envelope.created_on) / 1000
        )

    async def _settle(self, outcomes: Sequence[tuple[_Entry, str, bytes]]) -> None:
        """Answers and finishes entries in one round trip: first the answers, so that a crash between repeats them."""
        redis_ = self._bus.redis
        sent = []
        for entry, status, body in outcomes:
            self._count(entry.envelope.type, status)
            if entry.envelope.reply_to is not None:
                sent.append(
                    redis_.submit(
                        "XADD", entry.envelope.reply_to, "NOMKSTREAM", "MAXLEN", "~", REPLY_MAXLEN, "*",
                        "id", entry.envelope.id, "s", status, "d", body,
                    )
                )  # fmt: skip
        await self._finish([entry.id for entry, _status, _body in outcomes])
        await asyncio.gather(*sent)

    def _count(self, message_type: str, outcome: str) -> None:
        known = self._counters.get((message_type, outcome))
        if known is None:
            known = self._bus.metrics.handled.labels(message_type, outcome)
            self._counters[message_type, outcome] = known
        known.inc()

    async def _finish(self, ids: Sequence[bytes]) -> None:
        if self.delete_when_done:
            await self._bus.redis.run_script(FINISH, [self.stream], [self.group, *ids])
        else:
            await self._bus.redis.execute("XACK", self.stream, self.group, *ids)

    async def _failed(self, entry: _Entry, error: Exception) -> None:
        """Puts an entry aside for a later try, or gives up on it."""
        envelope = entry.envelope
        outage = isinstance(error, StoreUnavailable)
        tries = min(envelope.attempt, len(RETRY_SECONDS)) - 1
        due = self._bus.clock.now() + int(RETRY_SECONDS[tries] * 1000 * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        if outage:
            _log.warning("put_aside", type=envelope.type, reason=str(error), message_id=envelope.id)
        else:
            _log.error("handler_failed", type=envelope.type, message_id=envelope.id, exc_info=error)
        if envelope.expires_on is not None and due >= envelope.expires_on:
            await self._settle([(entry, "deadline_exceeded", b"")])
        elif not outage and envelope.attempt >= MOST_ATTEMPTS:
            # A store that is away is no fault of the message: what has no deadline waits as long as it takes.
            await self._bury(
                entry.id, entry.fields, f"{type(error).__name__} in every one of {MOST_ATTEMPTS} tries"
            )
            await self._settle([(entry, "failed", b"")])
        else:
            self._count(envelope.type, "delayed")
            await self._bus.redis.run_script(
                DELAY,
                [self.stream, self.delayed],
                [
                    self.group,
                    entry.id,
                    due,
                    _next_try(entry.fields, envelope.attempt + 1),
                    int(self.delete_when_done),
                ],
            )

    async def _bury(self, entry_id: bytes, fields: Sequence[bytes], reason: str) -> None:
        _log.error("dead_letter", stream=self.stream, reason=reason[:300])
        told = ["reason", reason[:300], "by", self.name, "on", str(self._bus.clock.now())]
        await self._bus.redis.run_script(
            BURY, [self.stream, self.dead], [self.group, entry_id, int(self.delete_when_done), *told, *fields]
        )

    # Side tasks ------------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Takes over entries of members that died, a page at a time, with the cursor kept between the pages."""
        while not await self._pause(min(RECOVERY_SECONDS, self._claim_idle_ms / 1000)):
            with suppress(StoreUnavailable, redis.exceptions.ResponseError):
                free = self._slots - len(self._active)
                if free > 0:
                    await self._claim(min(free, self._batch))

    async def _claim(self, count: int) -> None:
        cursor, entries, *rest = await self._bus.redis.execute(
            "XAUTOCLAIM",
            self.stream,
            self.group,
            self.name,
            self._claim_idle_ms,
            self._claim_cursor,
            "COUNT",
            count,
        )
        self._claim_cursor = cursor
        if rest and rest[0]:
            await self._finish(rest[0])
        claimed = [
            (entry_id, fields) for entry_id, fields in entries if fields and entry_id not in self._active
        ]
        if not claimed:
            return
        pending = await self._bus.redis.execute_many(
            [("XPENDING", self.stream, self.group, entry_id, entry_id, 1) for entry_id, _fields in claimed]
        )
        healthy = []
        for (entry_id, fields), row in zip(claimed, pending, strict=True):
            deliveries = row[0][3] if isinstance(row, list) and row else 1
            if deliveries > MOST_DELIVERIES:
                await self._bury(entry_id, fields, f"crashed its consumer {MOST_DELIVERIES} times")
            else:
                healthy.append((entry_id, fields))
        if healthy:
            _log.info("took_over", stream=self.stream, entries=len(healthy))
            self._dispatch(healthy)

    async def _beat(self) -> None:
        """Tells the group that entries that take long are still worked on."""
        interval = self._claim_idle_ms / 4000
        while not await self._pause(interval):
            now = asyncio.get_running_loop().time()
            slow = [entry_id for entry_id, since in self._active.items() if now - since > interval]
            if slow:
                with suppress(StoreUnavailable, redis.exceptions.ResponseError):
                    await self._bus.redis.execute(
                        "XCLAIM", self.stream, self.group, self.name, 0, *slow, "JUSTID"
                    )

    async def _resume(self) -> None:
        """Puts entries whose time has come back into the stream."""
        while not await self._pause(RESUME_SECONDS):
            with suppress(StoreUnavailable, redis.exceptions.ResponseError):
                await self._bus.redis.run_script(
                    RESUME, [self.stream, self.delayed], [self._bus.clock.now(), self._batch]
                )

    async def _pause(self, seconds: float) -> bool:
        """Waits; whether it is time to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()


class EventConsumer(Consumer):
    """A group's member on an event stream: the same discipline, but entries stay for the other groups."""

    def __init__(
        self, bus: Bus, stream: str, group: str, handlers: Sequence[Handler], *, batch: int = 128
    ) -> None:
        """``stream`` is the event stream's name, ``group`` the consuming service's."""
        super().__init__(bus, stream, handlers, batch=batch)
        self.stream = names.event_stream(stream)
        self.delayed = names.event_delayed(stream, group)
        self.dead = names.event_dead(stream)
        self.group = group
        self.delete_when_done = False


def _delivery(envelope: Envelope) -> Delivery:
    return Delivery(
        envelope.id,
        envelope.source,
        envelope.created_on,
        envelope.expires_on,
        envelope.attempt,
        envelope.trace,
    )


def _body(reply: Message | None) -> bytes:
    return b"{}" if reply is None else reply.to_wire()


def _next_try(fields: Sequence[bytes], attempt: int) -> bytes:
    texts = [field.decode() for field in fields]
    for index in range(0, len(texts), 2):
        if texts[index] == "n":
            texts[index + 1] = str(attempt)
    return orjson.dumps(texts)


def _without_values(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['type']}" for item in error.errors(include_input=False)
        )
    return str(error)
