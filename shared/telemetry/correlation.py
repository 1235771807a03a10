"""What happens here belongs to: the request or message that caused it, as it travels from service to service."""

from __future__ import annotations

import secrets
from contextvars import ContextVar
from itertools import count
from typing import Final

correlation: Final[ContextVar[str]] = ContextVar("latchkey_correlation", default="")
"""The id of the HTTP request (``X-Request-ID``) or, where none was the cause, of a message."""
trace: Final[ContextVar[tuple[str, str]]] = ContextVar("latchkey_trace", default=("", ""))
"""W3C ``traceparent`` and ``tracestate``."""

# Unique without asking the kernel for randomness each time; an id is a name, not a secret.
new_request_id: Final = map(f"{secrets.token_hex(6)}{{:08x}}".format, count(1)).__next__
"""A name for a request that came without one."""
