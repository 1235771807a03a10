"""Structured logs: one JSON line per event on stderr, with the request's id; secrets never get this far."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog

from shared.telemetry.correlation import correlation, trace

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(*, level: str, log_format: str, service: str) -> None:
    """Sets up structlog and routes the standard library's warnings and errors through it.

    Library loggers stay at WARNING even at ``debug``: their debug lines hold queries and bodies.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _with_cause,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _with_service(service),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=True)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        # One write per line: the lines of several workers never mix.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(LEVELS[level], logging.WARNING), force=True)
    # Its lines hold query strings and Referers; ours are written by shared.web.edge.
    logging.getLogger("aiohttp.access").disabled = True


def _with_cause(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """The ids of the request that this line belongs to, and of its trace."""
    if request_id := correlation.get():
        event.setdefault("request_id", request_id)
    if traceparent := trace.get()[0]:
        event.setdefault("trace_id", traceparent.split("-")[1])
    return event


def _with_service(service: str) -> Any:
    def add(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("service", service)
        return event

    return add
