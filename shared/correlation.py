"""What happens here belongs to: the request or message that caused it, as it travels from service to service."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

correlation: Final[ContextVar[str]] = ContextVar("latchkey_correlation", default="")
"""The id of the HTTP request (``X-Request-ID``) or, where none was the cause, of a message."""
trace: Final[ContextVar[tuple[str, str]]] = ContextVar("latchkey_trace", default=("", ""))
"""W3C ``traceparent`` and ``tracestate``."""
