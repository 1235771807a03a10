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
from typing import Final

from aiohttp import web
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.correlation import trace
from shared.version import VERSION

LONGEST_STATE: Final = 512
"""Of a ``tracestate``: what every participant must be able to carry (W3C Trace Context §3.3.1.5)."""
_STOP_SECONDS: Final = 3.0
"""How long the last spans may take to leave at a stop."""
_W3C: Final = TraceContextTextMapPropagator()
_current: ContextVar[tuple[Span, ...]] = ContextVar("latchkey_spans", default=())

Attributes = Mapping[str, str | int]


class Spans:
    """The spans of one service in one process, and their way to the collector."""

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
        await asyncio.to_thread(last_words.join, _STOP_SECONDS)

    def from_outside(
        self, name: str, kind: SpanKind, carrier: tuple[str, str], attributes: Attributes
    ) -> Span:
        """A span that continues a caller's trace (``traceparent``, ``tracestate``); without one it begins its own."""
        traceparent, tracestate = carrier
        headers = {"traceparent": traceparent}
        if tracestate and len(tracestate) <= LONGEST_STATE:
            headers["tracestate"] = tracestate
        parent = _W3C.extract(headers, context=Context())
        return self._tracer.start_span(name, parent, kind, {**attributes})

    def below(self, parent: Span, name: str, kind: SpanKind, attributes: Attributes) -> Span:
        """A span inside another one."""
        return self._tracer.start_span(name, set_span_in_context(parent, Context()), kind, {**attributes})

    @contextmanager
    def below_current(self, name: str, kind: SpanKind, attributes: Attributes) -> Iterator[None]:
        """A span inside each current one: work on a batch shows in the trace of each of its messages."""
        spans = [self.below(parent, name, kind, attributes) for parent in _current.get()]
        with ending(spans):
            yield


def current() -> tuple[Span, ...]:
    """The spans that what happens now belongs to: one, several for a batch, none outside of a trace."""
    return _current.get()


@contextmanager
def within(spans: Sequence[Span]) -> Iterator[None]:
    """What happens inside belongs to these spans; where it is one, messages and log lines carry it on."""
    spans = tuple(spans)
    before = _current.set(spans), trace.set(carrier_of(spans[0]) if len(spans) == 1 else ("", ""))
    try:
        yield
    finally:
        _current.reset(before[0])
        trace.reset(before[1])


@contextmanager
def ending(spans: Sequence[Span]) -> Iterator[None]:
    """Ends the spans with what happens inside; an error is told by its type alone, since its text may quote anything."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            fail(span, error)
        raise
    finally:
        for span in spans:
            span.end()


def fail(span: Span, error: BaseException) -> None:
    """Marks a span as failed."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


def carrier_of(span: Span) -> tuple[str, str]:
    """``traceparent`` and ``tracestate`` for what the span causes elsewhere (W3C Trace Context §3)."""
    context = span.get_span_context()
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    return traceparent, context.trace_state.to_header()
