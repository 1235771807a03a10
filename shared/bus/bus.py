"""The bus as a service sees it: send a command, ask and wait for the answer, prepare a request for a script."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import redis.exceptions
import structlog

from shared.bus import names
from shared.bus.connection import BlockingRedis, CoalescingRedis
from shared.bus.envelope import Fields, new_message_id, pack
from shared.bus.metrics import BusMetrics
from shared.bus.supervisor import Backoff
from shared.clock import Clock, SystemClock
from shared.contracts.base import Command, Message
from shared.errors import BusUnavailable, StoreUnavailable
from shared.metrics import Metrics

REPLY_STREAM_SECONDS: Final = 300
REFRESH_SECONDS: Final = 20
MOST_IN_FLIGHT: Final = 2048
HIGH_WATER: Final = 20_000
BLOCK_MS: Final = 2000

ReplyT = TypeVar("ReplyT", bound=Message)
_log = structlog.get_logger("latchkey.bus")


class RemoteFailure(Exception):  # noqa: N818 - what happened over there, not an error of this side
    """The other side could not handle the message: a bug there, or the message is a dead letter now."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    status: str
    body: bytes


class PreparedRequest(Generic[ReplyT]):
    """A request whose entry a caller's own script will append: the future waits before the message exists."""

    def __init__(self, bus: Bus, command: Command[ReplyT], timeout: float) -> None:
        """Registers the request; ``reply`` or ``abandon`` must follow."""
        self.message_id = new_message_id()
        self.stream = names.commands(command.queue)
        self.deadline_on = bus.clock.now() + int(timeout * 1000)
        self.fields: Fields = pack(
            command.type,
            command.to_wire(),
            message_id=self.message_id,
            source=bus.source,
            now=bus.clock.now(),
            expires_on=self.deadline_on,
            reply_to=bus.reply_stream,
            trace=bus.trace(),
        )
        self._bus = bus
        self._command = command
        self._timeout = timeout
        self._future = bus.register(self.message_id)

    async def reply(self) -> ReplyT:
        """The answer.

        Raises:
            BusUnavailable: none by the deadline.
            RemoteFailure: the other side could not handle it.
        """
        try:
            async with asyncio.timeout(self._timeout):
                outcome = await self._future
        except TimeoutError:
            raise BusUnavailable("deadline") from None
        finally:
            self.abandon()
        if outcome.status == "ok":
            answer: Any = self._command.replies.from_wire(outcome.body)
            return answer  # type: ignore[no-any-return]
        if outcome.status == "deadline_exceeded":
            raise BusUnavailable("deadline")
        raise RemoteFailure(f"{self._command.type}: {outcome.status}")

    def abandon(self) -> None:
        """Forgets the request: a late answer has no taker."""
        self._bus.forget(self.message_id)


class Bus:
    """One process's end of the bus. Everything of it survives an outage of Redis without a hand."""

    def __init__(
        self, redis_url: str, *, source: str, clock: Clock | None = None, metrics: Metrics | None = None
    ) -> None:
        """Remembers where Redis is; ``source`` is the service's name."""
        self.url = redis_url
        self.source = source
        self.clock: Clock = clock or SystemClock()
        self.metrics = BusMetrics(metrics or Metrics(source))
        self.instance = f"{source}.{socket.gethostname()}.{new_message_id()[-12:]}"
        self.reply_stream = names.replies(self.instance)
        self.redis = CoalescingRedis(redis_url)
        self._futures: dict[str, asyncio.Future[_Outcome]] = {}
        self._tail: asyncio.Task[None] | None = None
        self._stopping = False
        self._backlog: dict[str, tuple[float, int]] = {}

    async def start(self) -> None:
        """Begins to read answers; comes back at once, also while Redis is down."""
        with suppress(StoreUnavailable):
            await self._keep_reply_stream()
        self._tail = asyncio.create_task(self._read_replies(), name="bus replies")

    async def stop(self) -> None:
        """Stops reading answers and closes the connections; requests still waiting get ``BusUnavailable``."""
        self._stopping = True
        if self._tail is not None:
            self._tail.cancel()
            await asyncio.wait([self._tail])
        for future in self._futures.values():
            if not future.done():
                future.set_exception(BusUnavailable("stopping"))
        await self.redis.close()

    async def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless Redis answers."""
        await self.redis.ping()

    def trace(self) -> str | None:
        """The W3C traceparent of the current request, where there is one."""
        trace: str | None = structlog.contextvars.get_contextvars().get("traceparent")
        return trace

    async def request(self, command: Command[ReplyT], timeout: float = 2.5) -> ReplyT:
        """Asks the service whose queue the command names and waits for its answer.

        Raises:
            BusUnavailable: Redis is down, the backlog is too high, or no answer came in ``timeout`` seconds.
            RemoteFailure: the other side could not handle it.
        """
        prepared = self.prepare(command, timeout)
        try:
            await self.refuse_overload(command.queue)
            await self.redis.execute("XADD", prepared.stream, "*", *prepared.fields)
        except StoreUnavailable as error:
            prepared.abandon()
            raise (
                error if isinstance(error, BusUnavailable) else BusUnavailable(f"down: {error.reason}")
            ) from error
        except BaseException:
            prepared.abandon()
            raise
        return await prepared.reply()

    def prepare(self, command: Command[ReplyT], timeout: float = 2.5) -> PreparedRequest[ReplyT]:
        """A request for a caller's own script to append.

        Raises:
            BusUnavailable: too many are in flight already.
        """
        if len(self._futures) >= MOST_IN_FLIGHT:
            raise BusUnavailable("overload")
        return PreparedRequest(self, command, timeout)

    async def send(self, command: Command[Any], expires_in: float | None = None) -> None:
        """Appends a command that nobody waits for; it is durable when this returns.

        Raises:
            BusUnavailable: Redis did not take it.
        """
        now = self.clock.now()
        fields = pack(
            command.type,
            command.to_wire(),
            message_id=new_message_id(),
            source=self.source,
            now=now,
            expires_on=None if expires_in is None else now + int(expires_in * 1000),
            trace=self.trace(),
        )
        try:
            await self.redis.execute("XADD", names.commands(command.queue), "*", *fields)
        except StoreUnavailable as error:
            raise BusUnavailable(f"down: {error.reason}") from error

    async def refuse_overload(self, queue: str) -> None:
        """Refuses at once while the queue's backlog is above the high-water mark (looked at once a second).

        Raises:
            BusUnavailable: with the reason ``overload``.
        """
        looked_on, length = self._backlog.get(queue, (0.0, 0))
        now = self.clock.monotonic()
        if now - looked_on >= 1:
            self._backlog[queue] = now, length
            length = int(await self.redis.execute("XLEN", names.commands(queue)))
            self._backlog[queue] = now, length
        if length > HIGH_WATER:
            raise BusUnavailable("overload")

    def register(self, message_id: str) -> asyncio.Future[_Outcome]:
        """Makes the future that the answer to ``message_id`` will resolve."""
        future: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        self._futures[message_id] = future
        return future

    def forget(self, message_id: str) -> None:
        """Drops the future of a request that nobody waits for any more."""
        future = self._futures.pop(message_id, None)
        if future is not None and future.done() and not future.cancelled():
            future.exception()

    async def _read_replies(self) -> None:
        reader = BlockingRedis(self.url)
        backoff = Backoff()
        cursor: bytes | str = "0-0"
        kept_on = float("-inf")
        try:
            while not self._stopping:
                try:
                    if self.clock.monotonic() - kept_on > REFRESH_SECONDS:
                        cursor = await self._keep_reply_stream() or cursor
                        kept_on = self.clock.monotonic()
                    found = await reader.execute(
                        "XREAD", "COUNT", 1000, "BLOCK", BLOCK_MS, "STREAMS", self.reply_stream, cursor,
                        wait_seconds=BLOCK_MS / 1000,
                    )  # fmt: skip
                    for entry_id, fields in found[0][1] if found else ():
                        cursor = entry_id
                        self._resolve(fields)
                    if not found:
                        kept_on = float("-inf")
                    backoff.reset()
                except (StoreUnavailable, redis.exceptions.ResponseError) as error:
                    kept_on = float("-inf")
                    _log.warning("replies_unavailable", reason=str(error))
                    await backoff.sleep()
        finally:
            await reader.close()

    async def _keep_reply_stream(self) -> str | None:
        """Answers are appended only to a stream that exists: makes it, and keeps it while this process lives.

        Returns the cursor to begin with where the stream had to be made: its clock may be behind the old one.
        """
        if await self.redis.execute("EXPIRE", self.reply_stream, REPLY_STREAM_SECONDS):
            return None
        await self.redis.execute("XADD", self.reply_stream, "*", "id", "", "s", "opened")
        await self.redis.execute("EXPIRE", self.reply_stream, REPLY_STREAM_SECONDS)
        return "0-0"

    def _resolve(self, fields: list[bytes]) -> None:
        found = dict(zip(fields[::2], fields[1::2], strict=False))
        future = self._futures.get(found.get(b"id", b"").decode())
        if future is not None and not future.done():
            future.set_result(_Outcome(found.get(b"s", b"").decode(), found.get(b"d", b"")))
