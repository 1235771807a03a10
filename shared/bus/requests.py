"""Requests that wait for their reply, and the reply stream of one process with the tail that reads it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, Generic, TypeVar

import structlog
from pydantic import ValidationError

from shared.bus import names
from shared.bus.metrics import BusMetrics
from shared.bus.names import StreamKeys
from shared.contracts.messages import Command, Envelope, Message, WireField
from shared.errors import BusUnavailable, StoreUnavailable
from shared.redis.client import CoalescingRedis
from shared.redis.connection import Argument, RedisConnection, pack
from shared.redis.errors import CommandError
from shared.redis.full import FULL, even_if_full
from shared.redis.link import RedisLink
from shared.redis.topology import Topology
from shared.supervisor import watched

MOST_IN_FLIGHT: Final = 4096
MOST_REPLIES: Final = 10_000
LIFETIME_SECONDS: Final = 300
REFRESH_SECONDS: Final = 30.0
BLOCK_MS: Final = 1000
PATIENCE_SECONDS: Final = BLOCK_MS / 1000 + 2
READ_AT_ONCE: Final = 1000
MOST_READ_BYTES: Final = 256 * 1024
"""What has been read may lie in Redis up to here: a stranger can ask for long replies, such as a redirect with its state."""
PAUSE_SECONDS: Final = 0.05

DEADLINE: Final = "deadline_exceeded"
UNAVAILABLE: Final = "unavailable"
FAILED: Final = "failed"

ReplyT = TypeVar("ReplyT", bound=Message)
Reply = tuple[bytes | None, bytes | None]
"""Body, or the word for why there is none."""
Deliver = Callable[[bytes, bytes | None, bytes | None], object]

_log = structlog.get_logger("latchkey.bus")


class RemoteFailure(Exception):  # noqa: N818 - named as the callers speak of it
    """The other service could not carry out the command and will not: a bug there, or a message it cannot read."""

    def __init__(self, command_type: str, reason: str) -> None:
        """``reason`` is for logs, never for answers."""
        super().__init__(f"{command_type}: {reason}")
        self.command_type = command_type
        self.reason = reason


@dataclass(slots=True)
class PreparedRequest(Generic[ReplyT]):
    """A command that is ready to be sent by XADD to ``stream``, and the way to its reply.

    Registered already: its time runs. Either await ``reply`` once or call ``abandon``.
    """

    stream: str
    fields: list[WireField]
    """Name, value, name, value …"""
    message_id: str
    command: Command[ReplyT]
    pending: PendingRequests
    future: asyncio.Future[Reply]
    started: float = field(default_factory=perf_counter)

    async def reply(self) -> ReplyT:
        """Waits for the reply until the deadline.

        Raises:
            BusUnavailable: no reply in time (``deadline``), the handler's store is down (``unavailable``).
            RemoteFailure: the other service could not do it.
        """
        outcome = "abandoned"
        try:
            body, problem = await self.future
            if body is None:
                raise self._error((problem or b"").decode("utf-8", "replace"))
            reply: Any = self.command.replies.from_wire(body)
            outcome = "replied"
        except BusUnavailable as unavailable:
            outcome = unavailable.reason
            raise
        except RemoteFailure:
            outcome = FAILED
            raise
        except ValidationError as error:
            outcome = FAILED
            count = error.error_count()
            raise RemoteFailure(self.command.type, f"unreadable reply: {count} errors") from None
        finally:
            self.pending.ended(self, outcome)
        return reply  # type: ignore[no-any-return]  # its class is `replies` of a Command[ReplyT]

    def sent(self, sending: asyncio.Future[Any]) -> None:
        """Called with the ended XADD: if it failed, nobody need wait for the deadline."""
        error = None if sending.cancelled() else sending.exception()
        if error is not None and not self.future.done():
            self.future.set_exception(
                BusUnavailable("down") if isinstance(error, StoreUnavailable) else error
            )
            self.future.exception()

    def abandon(self) -> None:
        """Nobody waits any more; a late reply is dropped."""
        self.pending.forget(self.message_id)
        self.future.cancel()

    def _error(self, word: str) -> BusUnavailable | RemoteFailure:
        if word == DEADLINE:
            return BusUnavailable("deadline")
        return BusUnavailable(word) if word == UNAVAILABLE else RemoteFailure(self.command.type, word)


class PendingRequests:
    """Those of one process. Bounded: beyond it new ones are refused at once."""

    def __init__(self, metrics: BusMetrics) -> None:
        """Nothing waits yet."""
        self._waiting: dict[bytes, tuple[asyncio.Future[Reply], asyncio.TimerHandle]] = {}
        self._metrics = metrics

    def __len__(self) -> int:
        return len(self._waiting)

    def register(self, message_id: str, timeout: float) -> asyncio.Future[Reply]:
        """The future of a reply; ``BusUnavailable`` is its exception after ``timeout`` seconds.

        Raises:
            BusUnavailable: too many wait already (``overload``).
        """
        if len(self._waiting) >= MOST_IN_FLIGHT:
            raise BusUnavailable("overload")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        key = message_id.encode()
        self._waiting[key] = future, loop.call_later(timeout, self._end, key, "deadline")
        return future

    def deliver(self, correlation: bytes, body: bytes | None, problem: bytes | None) -> bool:
        """Hands a reply over; whether anybody waited for it."""
        waiting = self._waiting.pop(correlation, None)
        if waiting is None:
            return False
        future, timer = waiting
        timer.cancel()
        if not future.done():
            future.set_result((body, problem))
        return True

    def forget(self, message_id: str) -> None:
        """A request needs its reply no more."""
        waiting = self._waiting.pop(message_id.encode(), None)
        if waiting is not None:
            waiting[1].cancel()

    def ended(self, request: PreparedRequest[Any], outcome: str) -> None:
        """Counts a request that waits no more."""
        command_type = request.command.type
        if outcome == "replied":
            self._metrics.request_seconds(command_type).observe(perf_counter() - request.started)
        else:
            self.forget(request.message_id)
        self._metrics.requests(command_type, outcome).inc()

    def end_all(self) -> None:
        """The process stops: whoever still waits is told."""
        for key in tuple(self._waiting):
            self._end(key, "down")

    def _end(self, key: bytes, reason: str) -> None:
        future, timer = self._waiting.pop(key)
        timer.cancel()
        if not future.done():
            future.set_exception(BusUnavailable(reason))
            future.exception()  # it may be that nobody awaits it any more, which is no mistake


MessageOutcome = tuple[Envelope, bytes | None, str]
"""Of a message: the reply's body, or the word for why there is none."""


async def answer_and_finish(
    redis: CoalescingRedis,
    keys: StreamKeys,
    ids: Sequence[bytes],
    outcomes: Sequence[MessageOutcome],
    *,
    source: str,
    now: int,
) -> None:
    """Answers and finishes entries in one round trip; the answers first, so that a crash between repeats them.

    ``source`` is the service that answers, ``now`` the time by the clock of Redis.

    A reply makes no stream: one to a process that is gone vanishes. A member that was taken for dead may finish too: what
    it did is committed, so the entry is done.

    Raises:
        StoreUnavailable: the entries may come again.
    """
    common: tuple[Argument, ...] = ("v", "1", "src", source, "ts", now)
    replies: defaultdict[str, list[tuple[Argument, ...]]] = defaultdict(list)
    for envelope, body, problem in outcomes:
        if envelope.reply_to:
            replies[envelope.reply_to].append(
                ("XADD", envelope.reply_to, "NOMKSTREAM", "MAXLEN", "~", MOST_REPLIES, "*", *common)
                + ("cid", envelope.id)
                + (("d", body) if body is not None else ("e", problem))
            )
    sent: list[tuple[tuple[Argument, ...], asyncio.Future[Any]]] = []
    for reply_to, commands in replies.items():
        there = await redis.connection_for(reply_to)
        sent += zip(commands, there.send_all(commands), strict=True)
    connection = await redis.connection_for(keys.stream)
    if keys.delayed is not None:
        # First, and not in a transaction: an id that is pending though its entry is gone is dropped by whoever
        # claims it, but an entry that is acknowledged and not deleted would stay for ever.
        connection.write(pack(("XDEL", keys.stream, *ids)), (None,))
    try:
        await connection.send(("XACK", keys.stream, keys.group, *ids))
    finally:
        await _repeat_refused(redis, sent)


async def _repeat_refused(
    redis: CoalescingRedis, sent: Sequence[tuple[Sequence[Argument], asyncio.Future[Any]]]
) -> None:
    """What a full Redis was asked to do it is also allowed to answer; every other failure of a reply is the reader's."""
    for command, reply in sent:
        with suppress(StoreUnavailable, CommandError):
            try:
                await reply
            except StoreUnavailable as error:
                if error.reason == FULL:
                    await redis.execute_even_if_full(*command)


class ReplyTail:
    """Reads this process's replies on a connection of its own and hands each to whoever waits for it."""

    def __init__(self, topology: Topology, instance: str, deliver: Deliver) -> None:
        """``deliver`` gets correlation, body and problem of each reply."""
        self.stream = names.replies(instance)
        self._deliver = deliver
        self._cursor: str | bytes = ""
        self._refresh_on = 0.0
        self._read_bytes = 0
        self._connected: object = None
        self._link = RedisLink(
            topology, self.stream, client_name=f"{instance}:replies", patience=PATIENCE_SECONDS
        )
        self._task: asyncio.Task[None] | None = None
        self.open = asyncio.Event()
        """Set while the stream exists and is read: requests may be sent."""

    async def start(self) -> None:
        """Opens the stream if Redis answers; reads until ``stop``, through every outage."""
        await self._link.start()
        if self._link.connection is not None:
            with suppress(StoreUnavailable, CommandError):
                await self._open(self._link.connection)
        self._task = watched(self._run(), "bus replies")

    async def stop(self) -> None:
        """Stops reading. Nothing is lost by it: nobody waits any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._link.stop()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection = self._link.connection
                if connection is None or not connection.is_open:
                    connection = await self._link.ready()
                if connection is not self._connected or loop.time() >= self._refresh_on:
                    await self._open(connection)
                answer = await connection.send(
                    ("XREAD", "COUNT", READ_AT_ONCE, "BLOCK", BLOCK_MS, "STREAMS", self.stream, self._cursor)
                )
                if answer:
                    self._take(answer[0][1])
                    if self._read_bytes > MOST_READ_BYTES:
                        await self._mark(connection, "MINID", self._cursor)
                        self._read_bytes = 0
                else:
                    self._refresh_on = 0.0  # quiet: a good time to see that the stream is still there
            except StoreUnavailable:
                try:
                    await self._link.ready()
                except StoreUnavailable:
                    self._connected = None
                    self.open.clear()
                    await asyncio.sleep(PAUSE_SECONDS)
            except CommandError as error:
                self._connected = None
                self.open.clear()
                if error.code == "MOVED":
                    self._link.moved()
                    continue
                _log.error("replies_unreadable", reason=str(error))
                await asyncio.sleep(1.0)

    async def _open(self, connection: RedisConnection) -> None:
        await self._keep(connection, reconnected=connection is not self._connected)
        self._connected = connection
        self._refresh_on = asyncio.get_running_loop().time() + REFRESH_SECONDS
        self.open.set()

    async def _keep(self, connection: RedisConnection, *, reconnected: bool) -> None:
        """Makes the stream where it is not, and keeps it from expiring.

        The cursor never passes a reply that may still come: after an outage it is moved back if the stream began anew.
        """
        alive = await connection.send(("EXPIRE", self.stream, LIFETIME_SECONDS))
        if alive and self._cursor and not reconnected:
            return
        opening = self._mark(connection, "MAXLEN", MOST_REPLIES)
        expiring = connection.send(("EXPIRE", self.stream, LIFETIME_SECONDS))
        # Both at once: neither is left behind with an error that nobody hears.
        first: bytes = (await asyncio.gather(opening, expiring))[0]
        if not alive or not self._cursor or _order(first) < _order(self._cursor):
            self._cursor = first

    def _mark(self, connection: RedisConnection, strategy: str, threshold: Argument) -> Awaitable[Any]:
        """Trims the stream by appending an entry that is no reply: consent_ui may do nothing else to it.

        It is sent now, before whatever is sent after it.
        """
        command = ("XADD", self.stream, strategy, "~", threshold, "*", "v", "1", "t", "reply.open")
        return even_if_full(connection.send, command, connection.send(command))

    def _take(self, entries: Sequence[Sequence[Any]]) -> None:
        for _, flat in entries:
            fields = dict(zip(flat[::2], flat[1::2], strict=False))
            correlation = fields.get(b"cid")
            if correlation is not None:
                body = fields.get(b"d")
                self._read_bytes += len(body or b"")
                self._deliver(correlation, body, fields.get(b"e"))
        self._cursor = entries[-1][0]


def _order(entry_id: str | bytes) -> tuple[int, int]:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)
