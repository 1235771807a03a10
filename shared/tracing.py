"""Traces, where somebody collects them. Without a collector OpenTelemetry is not even imported, and nothing is wrapped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aiohttp import web

    from shared.bus import Bus
    from shared.database import Database
    from shared.spans import Spans

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables; its others (sampler, headers, resource attributes, …) count too."""


def spans_of(service: str, environ: Mapping[str, str] = os.environ) -> Spans | None:
    """The spans of a service in this process; ``None`` where nobody has asked for traces."""
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or environ.get("OTEL_TRACES_EXPORTER") == "none" or not any(map(environ.get, ENDPOINTS)):
        return None
    from shared.spans import Spans

    return Spans(service)


def trace_requests(application: web.Application, spans: Spans | None) -> None:
    """Puts a span around each request of an application; call it before anything is added to its clean-up."""
    if spans is not None:
        from shared.web.traced import span_of_request

        application.middlewares.insert(0, span_of_request(spans))
        application.cleanup_ctx.append(spans.running)


def make_bus(redis_url: str, *, spans: Spans | None, **options: Any) -> Bus:
    """A bus that carries traces on, or a plain one; ``options`` as for ``Bus``."""
    if spans is None:
        from shared.bus import Bus

        return Bus(redis_url, **options)
    from shared.bus.traced import TracedBus

    return TracedBus(redis_url, spans=spans, **options)


def make_database(url: str, *, spans: Spans | None, **options: Any) -> Database:
    """A database whose statements show in traces, or a plain one; ``options`` as for ``Database``."""
    if spans is None:
        from shared.database import Database

        return Database(url, **options)
    from shared.traced_database import TracedDatabase

    return TracedDatabase(url, spans=spans, **options)
