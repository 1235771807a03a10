"""A collector of traces as OpenTelemetry's are: takes OTLP over HTTP, decodes it, and keeps it for the test to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from deploy.embedded.ports import free_port
from shared.web.server import serving

_PATIENCE_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """A span as the collector got it."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    began: int
    ended: int
    failed: bool
    attributes: dict[str, str]


@dataclass(slots=True)
class Collector:
    """What has arrived so far."""

    endpoint: str
    spans: list[SeenSpan] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    """The bodies as they came, to search for what must not be in them."""

    def trace(self, trace_id: str) -> list[SeenSpan]:
        """The spans of one trace, in the order of their beginnings."""
        found = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(found, key=lambda span: span.began)

    async def until(self, trace_id: str, *names: str) -> list[SeenSpan]:
        """A trace once spans of these names have arrived: each process sends its own, now and then."""
        missing = set(names)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while missing := set(names) - {span.name for span in self.trace(trace_id)}:
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            seen = [f"{span.service} {span.name}" for span in self.spans]
            raise AssertionError(f"{missing} never arrived; what did: {seen}") from None
        return self.trace(trace_id)

    async def take(self, request: web.Request) -> web.Response:
        """`POST /v1/traces`."""
        body = await request.read()
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _read(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans.extend(_seen(service, span) for span in scope.spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A running collector."""
    port = free_port()
    collector = Collector(f"http://127.0.0.1:{port}")
    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_post("/v1/traces", collector.take)
    async with serving(application, "127.0.0.1", port, drain_seconds=1):
        yield collector


def _seen(service: str, span: WireSpan) -> SeenSpan:
    return SeenSpan(
        service=service,
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=_read(span.attributes),
    )


def _read(attributes: object) -> dict[str, str]:
    pairs: list[KeyValue] = list(attributes)  # type: ignore[call-overload]
    return {pair.key: _text(pair.value) for pair in pairs}


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    return "" if kind is None else str(getattr(value, kind))
