"""Requests that wait for their reply: registered before they are sent, ended by a reply or by their deadline."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from shared.bus.envelope import Field
from shared.bus.metrics import BusMetrics
from shared.contracts.base import Message, MessageType
from shared.errors import BusUnavailable, StoreUnavailable

MOST_IN_FLIGHT: Final = 4096

DEADLINE: Final = "deadline_exceeded"
UNAVAILABLE: Final = "unavailable"
FAILED: Final = "failed"

ReplyT = TypeVar("ReplyT", bound=Message)
Reply = tuple[bytes | None, bytes | None]
"""Body, or the word for why there is none."""


class RemoteFailure(Exception):  # noqa: N818 - named as the callers speak of it
    """The other service could not carry out the command and will not: a bug there, or a message it cannot read."""

    def __init__(self, command_type: str, reason: str) -> None:
        """``reason`` is for logs, never for answers."""
        super().__init__(f"{command_type}: {reason}")
        self.command_type = command_type
        self.reason = reason


class PreparedRequest(Generic[ReplyT]):
    """A command that is ready to be sent by XADD to ``stream``, and the way to its reply.

    Registered already: its time runs. Either await ``reply`` once or call ``abandon``.
    """

    __slots__ = (
        "_command_type",
        "_future",
        "_pending",
        "_reply_type",
        "_started",
        "fields",
        "message_id",
        "stream",
    )

    def __init__(
        self,
        pending: PendingRequests,
        future: asyncio.Future[Reply],
        *,
        command_type: str,
        reply_type: MessageType,
        stream: str,
        fields: list[Field],
        message_id: str,
    ) -> None:
        """Made by ``Bus.prepare``."""
        self.stream = stream
        self.fields = fields
        """Name, value, name, value …"""
        self.message_id = message_id
        self._pending = pending
        self._future = future
        self._command_type = command_type
        self._reply_type = reply_type
        self._started = perf_counter()

    async def reply(self) -> ReplyT:
        """Waits for the reply until the deadline.

        Raises:
            BusUnavailable: no reply in time (``deadline``), the handler's store is down (``unavailable``).
            RemoteFailure: the other service could not do it.
        """
        outcome = "abandoned"
        try:
            body, problem = await self._future
            if body is not None:
                outcome = "replied"
                return self._read(body)
            error = self._error((problem or b"").decode("utf-8", "replace"))
            outcome = error.reason if isinstance(error, BusUnavailable) else FAILED
            raise error
        except BusUnavailable as unavailable:
            outcome = unavailable.reason
            raise
        finally:
            self._pending.forget(self.message_id)
            self._pending.ended(self._command_type, outcome, perf_counter() - self._started)

    def sent(self, sending: asyncio.Future[Any]) -> None:
        """Called with the ended XADD: if it failed, nobody need wait for the deadline."""
        error = None if sending.cancelled() else sending.exception()
        if error is not None and not self._future.done():
            self._future.set_exception(
                BusUnavailable("down") if isinstance(error, StoreUnavailable) else error
            )
            self._future.exception()

    def abandon(self) -> None:
        """Nobody waits any more; a late reply is dropped."""
        self._pending.forget(self.message_id)
        self._future.cancel()

    def _error(self, word: str) -> BusUnavailable | RemoteFailure:
        if word == DEADLINE:
            return BusUnavailable("deadline")
        return BusUnavailable(word) if word == UNAVAILABLE else RemoteFailure(self._command_type, word)

    def _read(self, body: bytes) -> ReplyT:
        try:
            reply: Any = self._reply_type.from_wire(body)
        except ValidationError as error:
            raise RemoteFailure(
                self._command_type, f"unreadable reply: {error.error_count()} errors"
            ) from None
        return reply  # type: ignore[no-any-return]  # its class is `replies` of a Command[ReplyT]


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

    def ended(self, command_type: str, outcome: str, seconds: float) -> None:
        """Counts a request."""
        self._metrics.requested(command_type, outcome, seconds)

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
