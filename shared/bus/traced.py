"""The bus with spans: one for each command from its sending to its reply, one for each message that is handled.

Both are in the trace of the request that caused them, which travels in the envelope's ``tp`` and ``tst``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from opentelemetry.trace import Span, SpanKind

from shared.bus.bus import REQUEST_SECONDS, Bus
from shared.bus.handlers import Delivery, Handler
from shared.bus.requests import PreparedRequest
from shared.contracts.base import Command, Message
from shared.spans import Spans, current, ending, fail, within

ReplyT = TypeVar("ReplyT", bound=Message)


class TracedBus(Bus):
    """A bus whose commands and handlers leave spans, where they belong to a trace."""

    def __init__(self, redis_url: str, *, spans: Spans, **options: Any) -> None:
        """``options`` as for ``Bus``."""
        super().__init__(redis_url, **options)
        self._spans = spans

    def prepare(self, command: Command[ReplyT], timeout: float = REQUEST_SECONDS) -> PreparedRequest[ReplyT]:
        """As ``Bus.prepare``; the span ends with the reply, or with what came instead of it."""
        if (span := self._sending(command)) is None:
            return super().prepare(command, timeout)
        try:
            with within([span]):
                prepared = super().prepare(command, timeout)
        except BaseException as error:
            fail(span, error)
            span.end()
            raise
        prepared.on_end(lambda reply: _end_with(span, reply))
        return prepared

    async def send(self, command: Command[Any], expires_in: float | None = None) -> None:
        """As ``Bus.send``; the span ends when Redis has the command."""
        if (span := self._sending(command)) is None:
            return await super().send(command, expires_in)
        with ending([span]), within([span]):
            return await super().send(command, expires_in)

    def instrumented(self, handlers: Sequence[Handler]) -> Sequence[Handler]:
        """The handlers with a span for each message that they get."""
        return [
            replace(each, function=self._batch(each) if each.batch else self._single(each))
            for each in handlers
        ]

    def _sending(self, command: Command[Any]) -> Span | None:
        parents = current()
        if not parents:
            return None
        attributes = {"messaging.system": "redis", "messaging.destination.name": command.queue}
        return self._spans.below(parents[0], f"send {command.type}", SpanKind.PRODUCER, attributes)

    def _single(self, each: Handler) -> Any:
        async def handle(message: Message, delivery: Delivery) -> Any:
            with self._processing(each, [delivery]):
                return await each.function(message, delivery)

        return handle

    def _batch(self, each: Handler) -> Any:
        async def handle(messages: Sequence[Message], deliveries: Sequence[Delivery]) -> Any:
            with self._processing(each, deliveries):
                return await each.function(messages, deliveries)

        return handle

    @contextmanager
    def _processing(self, each: Handler, deliveries: Sequence[Delivery]) -> Iterator[None]:
        """A span for each message of a batch, each in the trace of its own sender."""
        spans = [
            self._spans.from_outside(
                f"process {each.message.type}",
                SpanKind.CONSUMER,
                (delivery.trace, delivery.trace_state),
                {
                    "messaging.system": "redis",
                    "messaging.message.id": delivery.message_id,
                    "messaging.batch.message_count": len(deliveries),
                    "latchkey.attempt": delivery.attempt,
                },
            )
            for delivery in deliveries
            if delivery.trace
        ]
        with ending(spans), within(spans):
            yield


def _end_with(span: Span, reply: asyncio.Future[Any]) -> None:
    """Ends the span of a request: nothing of the reply gets into it but whether there was one."""
    error = None if reply.cancelled() else reply.exception()
    if error is not None:
        fail(span, error)
    span.end()
