"""Spans by OpenTelemetry, made by hand in few places, so that nothing gets into them that is not named here.

No attribute ever holds a path, a query, a header, a body, a parameter of a statement or the text of an error.
Only requests begin traces: what no request has caused (sweepers, relays, probes) leaves no span.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPMethod, HTTPStatus
from typing import Final

from aiohttp import web
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.telemetry.correlation import trace
from shared.telemetry.tracing import Answered, Carrier, Received, Sending, Tracer
from shared.version import VERSION

LONGEST_STATE: Final = 512
"""Of a ``tracestate``: what every participant must be able to carry (W3C Trace Context §3.3.1.5)."""
_STOP_SECONDS: Final = 3.0
"""How long the last spans may take to leave at a stop."""
_W3C: Final = TraceContextTextMapPropagator()
_METHODS: Final = frozenset(HTTPMethod)
_current: ContextVar[tuple[Span, ...]] = ContextVar("latchkey_spans", default=())
"""The spans that what happens now belongs to: one, several for a batch, none outside of a trace."""


class SpanTracer(Tracer):
    """The spans of one service in one process, and their way to the collector.

    All of a request are in one trace, which travels with its messages from service to service.
    """

    enabled = True

    def __init__(self, service: str) -> None:
        """Configured by OpenTelemetry's variables; nothing is sent before ``running``."""
        about = {
            "service.name": f"latchkey-{service.replace('_', '-')}",
            "service.version": VERSION,
            "service.instance.id": secrets.token_hex(8),
        }
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._tracer = self._provider.get_tracer("latchkey", VERSION)

    async def running(self, _application: web.Application) -> AsyncIterator[None]:
        """Sends spans in the background while an application runs, and the last ones at its end."""
        processor = BatchSpanProcessor(OTLPSpanExporter())
        self._provider.add_span_processor(processor)
        yield
        # A thread of its own: where the collector hangs, the process must not wait for it to end.
        last_words = threading.Thread(target=processor.shutdown, name="last spans", daemon=True)
        last_words.start()
        await asyncio.to_thread(last_words.join, _STOP_SECONDS)  # noqa: TID251 - once, at the end

    def sending(self, message_type: str, queue: str) -> Sending | None:
        """A span until the reply of a command, or what came in its place."""
        parents = _current.get()
        if not parents:
            return None
        attributes = {"messaging.system": "redis", "messaging.destination.name": queue}
        return _SentSpan(self._below(parents[0], f"send {message_type}", SpanKind.PRODUCER, attributes))

    @contextmanager
    def processing(self, message_type: str, received: Sequence[Received]) -> Iterator[None]:
        """A span for each message of a batch, each in the trace of its own sender."""
        spans = [
            self._from_outside(
                f"process {message_type}",
                SpanKind.CONSUMER,
                (each.trace, each.trace_state),
                {
                    "messaging.system": "redis",
                    "messaging.message.id": each.message_id,
                    "messaging.batch.message_count": len(received),
                    "latchkey.attempt": each.attempt,
                },
            )
            for each in received
            if each.trace
        ]
        with _ending(spans), _within(spans):
            yield

    @contextmanager
    def statement(self, operation: str, schema: str) -> Iterator[None]:
        """A span by name and never with values: work on a batch shows in the trace of each of its messages."""
        attributes = {
            "db.system.name": "postgresql",
            "db.namespace": schema,
            "db.operation.name": operation,
        }
        parents = _current.get() if operation else ()
        with _ending(
            [self._below(parent, f"{operation} {schema}", SpanKind.CLIENT, attributes) for parent in parents]
        ):
            yield

    @contextmanager
    def answering(self, method: str, route: str, carrier: Carrier) -> Iterator[Answered]:
        """Continues the caller's trace, or begins one; named by the route's template, since paths hold secrets."""
        verb = method if method in _METHODS else "_OTHER"
        attributes = {"http.request.method": verb, "http.route": route}
        span = self._from_outside(f"{verb} {route}", SpanKind.SERVER, carrier, attributes)

        def answered(status: int, request_id: str) -> None:
            span.set_attribute("http.response.status_code", status)
            span.set_attribute("latchkey.request_id", request_id)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))

        with _ending([span]), _within([span]):
            yield answered

    def _from_outside(
        self, name: str, kind: SpanKind, carrier: Carrier, attributes: Mapping[str, str | int]
    ) -> Span:
        """A span that continues a caller's trace; without one it begins its own."""
        traceparent, tracestate = carrier
        headers = {"traceparent": traceparent}
        if tracestate and len(tracestate) <= LONGEST_STATE:
            headers["tracestate"] = tracestate
        parent = _W3C.extract(headers, context=Context())
        return self._tracer.start_span(name, parent, kind, {**attributes})

    def _below(self, parent: Span, name: str, kind: SpanKind, attributes: Mapping[str, str | int]) -> Span:
        """A span inside another one."""
        return self._tracer.start_span(name, set_span_in_context(parent, Context()), kind, {**attributes})


class _SentSpan:
    """The span of a message: nothing of the reply gets into it but whether there was one."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.carrier = _carrier_of(span)

    def end(self, error: BaseException | None = None) -> None:
        if error is not None:
            _fail(self._span, error)
        self._span.end()


@contextmanager
def _within(spans: Sequence[Span]) -> Iterator[None]:
    """What happens inside belongs to these spans; where it is one, messages and log lines carry it on."""
    spans = tuple(spans)
    before = _current.set(spans), trace.set(_carrier_of(spans[0]) if len(spans) == 1 else ("", ""))
    try:
        yield
    finally:
        _current.reset(before[0])
        trace.reset(before[1])


@contextmanager
def _ending(spans: Sequence[Span]) -> Iterator[None]:
    """Ends the spans with what happens inside; an error is told by its type alone, since its text may quote anything."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            _fail(span, error)
        raise
    finally:
        for span in spans:
            span.end()


def _fail(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


def _carrier_of(span: Span) -> Carrier:
    """For what the span causes elsewhere (W3C Trace Context §3)."""
    context = span.get_span_context()
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    return traceparent, context.trace_state.to_header()
