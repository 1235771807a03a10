"""Who presents a key, and what is said to one that is not live (RFC 6750 §3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from aiohttp import hdrs, web

from shared.authorization_header import bearer_token
from shared.web.failures import Problem

NOT_LIVE_CHALLENGE: Final = 'Bearer error="invalid_token"'
_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}", re.ASCII)


def presented_token(request: web.Request) -> str | None:
    """What the one ``Authorization: Bearer`` header holds; ``None`` for none, several, or another scheme."""
    headers = request.headers.getall(hdrs.AUTHORIZATION, None)
    return bearer_token(headers[0]) if headers is not None and len(headers) == 1 else None


def not_live() -> Problem:
    """The one answer to everything that is not a live key: malformed, unknown, paused, expired and revoked alike."""
    return Problem(
        401,
        "The key is missing or not live.",
        code="invalid_token",
        headers={hdrs.WWW_AUTHENTICATE: NOT_LIVE_CHALLENGE},
    )


def lacks_permission(missing: Iterable[str]) -> Problem:
    """The key is live but does not carry these permissions."""
    names = [name for name in sorted(missing) if _SCOPE_TOKEN.fullmatch(name)]
    scope = f', scope="{" ".join(names)}"' if names else ""
    return Problem(
        403,
        "The key lacks a permission that this needs.",
        code="insufficient_scope",
        headers={hdrs.WWW_AUTHENTICATE: f'Bearer error="insufficient_scope"{scope}'},
    )
