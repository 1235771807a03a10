"""The hook by which bus, database and web edge tell what they do, so that it can be traced. Nothing is, by default.

Without a collector OpenTelemetry is not even imported.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from aiohttp import web

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables; its others (sampler, headers, resource attributes, …) count too."""

Carrier = tuple[str, str]
"""W3C ``traceparent`` and ``tracestate``, empty where there are none."""
Answered = Callable[[int, str], None]
"""Takes the status of an answer and the request's id."""


class Sending(Protocol):
    """A message on its way."""

    carrier: Carrier
    """What the message carries along."""

    def end(self, error: BaseException | None = None) -> None:
        """It was answered (where nothing waits for an answer: taken), or came to nothing."""


class Received(Protocol):
    """What is told of a message that is handled."""

    @property
    def message_id(self) -> str:
        """The same on every try."""

    @property
    def attempt(self) -> int:
        """Counts the tries from 1."""

    @property
    def trace(self) -> str:
        """W3C ``traceparent``, empty where there is none."""

    @property
    def trace_state(self) -> str:
        """W3C ``tracestate``."""


class Tracer:
    """Keeps nothing of what it is told."""

    enabled: bool = False

    def sending(self, _message_type: str, _queue: str) -> Sending | None:
        """A command is about to be sent; ``None`` where it belongs to no trace."""
        return None

    def processing(self, _message_type: str, _received: Sequence[Received]) -> AbstractContextManager[None]:
        """Around the handling of messages."""
        return _NOTHING

    def statement(self, _operation: str, _schema: str) -> AbstractContextManager[None]:
        """Around a named query or a transaction; ``_operation`` is empty for work of no name."""
        return _NOTHING

    def answering(self, _method: str, _route: str, _carrier: Carrier) -> AbstractContextManager[Answered]:
        """Around a request by HTTP."""
        return nullcontext(_forget)

    async def running(self, _application: web.Application) -> AsyncIterator[None]:
        """For the clean-up contexts of an application: runs as long as it does."""
        yield


_NOTHING: Final[AbstractContextManager[Any]] = nullcontext()
NO_TRACES: Final = Tracer()


def tracer_of(service: str) -> Tracer:
    """The tracer of a service in this process; one that keeps nothing where no traces are asked for."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or os.environ.get("OTEL_TRACES_EXPORTER") == "none" or not any(map(os.environ.get, ENDPOINTS)):
        return NO_TRACES
    from shared.telemetry.spans import SpanTracer

    return SpanTracer(service)


def _forget(_status: int, _request_id: str) -> None:
    pass
