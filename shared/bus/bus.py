"""The bus as a service process sees it: commands out, replies in, and the Redis behind them."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from shared.bus import names
from shared.bus.metrics import BusMetrics
from shared.bus.requests import PendingRequests, PreparedRequest, ReplyTail
from shared.clock import Clock, SystemClock
from shared.contracts.messages import Command, Envelope, Message, MessageIds, WireField
from shared.errors import BusUnavailable, StoreUnavailable
from shared.failpoints import ARMED, failpoint
from shared.redis.checks import ServerChecks
from shared.redis.client import CoalescingRedis, RedisTime
from shared.redis.connection import Argument
from shared.redis.errors import CommandError
from shared.redis.room import RoomWatch
from shared.redis.topology import topology_of
from shared.redis.url import parse_redis_url
from shared.supervisor import watched
from shared.telemetry.correlation import correlation, trace
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import NO_TRACES, Sending, Tracer

REQUEST_SECONDS: Final = 2.5
OPENING_SECONDS: Final = 1.0
HIGH_WATER: Final = 2_000
"""Entries of a command stream: about half a second of a busy worker's work."""
HIGHEST_WATER: Final = 50_000
"""For commands without a reply, which nobody waits for."""
MEASURE_SECONDS: Final = 0.05
BELIEVED_SECONDS: Final = 0.5
"""A length that was seen longer ago refuses nobody."""

ReplyT = TypeVar("ReplyT", bound=Message)


class Bus:
    """One per service and process. It starts without Redis, waits for it, and comes back after every outage."""

    def __init__(
        self,
        redis_url: str,
        *,
        source: str,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
        tracer: Tracer = NO_TRACES,
        high_water: int = HIGH_WATER,
    ) -> None:
        """``source`` is the service's name. Make it in the process that uses it, not before a fork.

        Raises:
            ValueError: ``redis_url`` is no Redis URL.
        """
        self.topology = topology_of(parse_redis_url(redis_url))
        self.source = source
        self.clock: Clock = clock or SystemClock()
        self.instance = f"{source}.{_host()}.{secrets.token_hex(6)}"
        """This process among all: service, host, boot id; the name of its consumers and of its reply stream."""
        self.metrics = BusMetrics(metrics or Metrics(source))
        self.tracer = tracer if tracer.enabled else None
        self.server = ServerChecks()
        self.redis = CoalescingRedis(self.topology, client_name=self.instance, checks=self.server)
        self.time = RedisTime(self.clock)
        self.ids = MessageIds()
        self._pending = PendingRequests(self.metrics)
        self._replies = ReplyTail(self.topology, self.instance, self._pending.deliver)
        self._backlogs = Backlogs(self.redis, self.metrics, high_water)
        self.room = RoomWatch(self.redis, self.metrics.redis_memory.set, any_script=source in names.QUEUES_OF)
        self._watching: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Connects; where Redis is down, goes on trying in the background. Never fails."""
        await self.redis.start()
        with suppress(StoreUnavailable, CommandError):
            await self.time.measure(self.redis)
        await self._replies.start()
        self._watching = (
            watched(self.time.run(self.redis), "bus time"),
            watched(self.room.run(), "room in Redis"),
        )

    async def stop(self) -> None:
        """Closes all connections; whoever still waits for a reply gets ``BusUnavailable``. Stop consumers first."""
        watching, self._watching = self._watching, ()
        for task in watching:
            task.cancel()
        if watching:
            await asyncio.wait(watching)
        self._pending.end_all()
        await self._replies.stop()
        with suppress(StoreUnavailable, CommandError):  # then it expires; late answers to it vanish
            await self.redis.execute("UNLINK", self.reply_stream)
        await self.redis.close()

    @property
    def reply_stream(self) -> str:
        """Where this process's replies arrive."""
        return self._replies.stream

    async def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless Redis answers."""
        await self.redis.ping()

    def signals(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """For ``/readyz``, by name: whether Redis has room, and whether it takes writes."""
        return {"redis_memory": self.room.check_memory, "redis_writes": self.room.check_writes}

    async def health(self) -> None:
        """For ``/readyz``: raises ``StoreUnavailable`` unless Redis answers and replies can be received."""
        await self.ping()
        if not self._replies.open.is_set():
            raise StoreUnavailable("redis", "the reply stream is not open")

    async def request(self, command: Command[ReplyT], timeout: float = REQUEST_SECONDS) -> ReplyT:
        """Sends a command and waits for its reply, ``timeout`` seconds at most; after that it is not started.

        Raises:
            BusUnavailable: Redis is ``down``, the queue is full (``overload``), there was no reply by the
                ``deadline``, or a store of the handler is ``unavailable``. The command may have been carried out.
            RemoteFailure: the other service cannot carry it out: a bug there, or versions that do not fit.
        """
        if not self._replies.open.is_set():
            await self._wait_for_replies()
        prepared = self.prepare(command, timeout)
        try:
            sending = await self._append(command, prepared.stream, prepared.fields)
        except BaseException as error:
            prepared.abandon()
            if isinstance(error, StoreUnavailable):
                raise BusUnavailable("down") from error
            raise
        sending.add_done_callback(prepared.sent)
        if ARMED:
            await failpoint("bus.after_request_before_reply")
        return await prepared.reply()

    def prepare(self, command: Command[ReplyT], timeout: float = REQUEST_SECONDS) -> PreparedRequest[ReplyT]:
        """Registers a request whose XADD is done by the caller, as part of a script. Its time begins now.

        The command may lack members (``model_construct``) that the script attaches as a JSON object in field ``a``.

        Raises:
            BusUnavailable: ``down`` or ``overload``; nothing is registered.
        """
        stream = names.commands(command.queue)
        sending = self.tracer.sending(command.type, command.queue) if self.tracer else None
        try:
            if not self._replies.open.is_set():
                raise BusUnavailable("down")  # noqa: TRY301 - counted as any other
            self._backlogs.check(stream, command, awaited=True)
            message_id = self.ids.new(self.clock.now())
            fields = self._fields(command, message_id, timeout, self._replies.stream, sending)
            future = self._pending.register(message_id, timeout)
        except Exception as error:
            if isinstance(error, BusUnavailable):
                self.metrics.requests(command.type, error.reason).inc()
            if sending is not None:
                sending.end(error)
            raise
        if sending is not None:
            future.add_done_callback(partial(_end_sending, sending))
        return PreparedRequest(stream, fields, message_id, command, self._pending, future)

    async def send(self, command: Command[Any], expires_in: float | None = None) -> None:
        """Appends a command that nobody waits for; when this returns, Redis has it.

        A Redis that is killed may forget its last second: what must survive that is requested, not sent.

        Raises:
            StoreUnavailable: it may have been appended or not.
        """
        stream = names.commands(command.queue)
        self._backlogs.check(stream, command, awaited=False)
        sending = self.tracer.sending(command.type, command.queue) if self.tracer else None
        fields = self._fields(command, self.ids.new(self.clock.now()), expires_in, "", sending)
        failure: BaseException | None = None
        try:
            await (await self._append(command, stream, fields))
        except BaseException as error:
            failure = error
            raise
        finally:
            if sending is not None:
                sending.end(failure)

    def compose(self, command: Command[Any], expires_in: float | None = None) -> tuple[str, list[WireField]]:
        """A command that nobody waits for, whose XADD is done by the caller: its stream, and the entry's fields."""
        message_id = self.ids.new(self.clock.now())
        return names.commands(command.queue), self._fields(command, message_id, expires_in, "", None)

    async def _append(
        self, command: Command[Any], stream: str, fields: Sequence[WireField]
    ) -> asyncio.Future[Any]:
        """Sends the XADD; what takes something back, and what that needs, is appended to a full Redis too."""
        words: tuple[Argument, ...] = ("XADD", stream, "*", *fields)
        if command.always_passes or command.passes_if_full:
            return asyncio.ensure_future(self.redis.execute_even_if_full(*words))
        return await self.redis.begin(*words)

    def _fields(
        self,
        command: Command[Any],
        message_id: str,
        expires_in: float | None,
        reply_to: str,
        sending: Sending | None,
    ) -> list[WireField]:
        """The envelope of a command, as the fields of a stream's entry."""
        now = self.time.now()
        traceparent, tracestate = trace.get() if sending is None else sending.carrier
        envelope = Envelope(
            message_id,
            command.type,
            self.source,
            now,
            command.to_wire(),
            0 if expires_in is None else now + int(expires_in * 1000),
            reply_to,
            correlation.get(),
            1,
            traceparent,
            tracestate,
        )
        return envelope.to_fields()

    async def _wait_for_replies(self) -> None:
        """Redis came back a moment ago; where it is down, there is nothing to wait for."""
        with suppress(StoreUnavailable, TimeoutError):
            await self.redis.connection_for(None)
            await asyncio.wait_for(self._replies.open.wait(), OPENING_SECONDS)


class Backlogs:
    """The lengths of the streams this process writes to, as last seen; looked up beside the traffic, never before it."""

    def __init__(self, redis: CoalescingRedis, metrics: BusMetrics, high_water: int = HIGH_WATER) -> None:
        """Every stream counts as empty until it was measured."""
        self._redis = redis
        self._metrics = metrics
        self._high_water = high_water
        self._running: set[asyncio.Future[Any]] = set()
        self._asked: dict[str, float] = {}
        self._known: dict[str, tuple[int, float]] = {}

    def check(self, stream: str, command: type[Command[Any]] | Command[Any], *, awaited: bool) -> None:
        """Lets a new command pass, or not; what takes something back always passes.

        Raises:
            BusUnavailable: ``overload``.
        """
        now = monotonic()
        if now - self._asked.get(stream, -1.0) > MEASURE_SECONDS:
            self._asked[stream] = now
            self._measure(stream, command.queue)
        length, seen = self._known.get(stream, (0, 0.0))
        most = self._high_water if awaited else HIGHEST_WATER
        if length >= most and not command.always_passes and now - seen < BELIEVED_SECONDS:
            raise BusUnavailable("overload")

    def _measure(self, stream: str, queue: str) -> None:
        task = asyncio.ensure_future(self._redis.execute("XLEN", stream))
        self._running.add(task)
        task.add_done_callback(lambda done: self._measured(stream, queue, done))

    def _measured(self, stream: str, queue: str, done: asyncio.Future[Any]) -> None:
        self._running.discard(done)
        if done.cancelled() or done.exception() is not None:
            return
        length: int = done.result()
        self._known[stream] = length, monotonic()
        self._metrics.backlog.labels(queue).set(length)


def _end_sending(sending: Sending, ended: asyncio.Future[Any]) -> None:
    sending.end(None if ended.cancelled() else ended.exception())


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:40]
