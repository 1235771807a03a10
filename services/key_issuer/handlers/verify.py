"""``/api/v1/verify``: is this key live and does it carry these permissions? Answered in headers, for reverse proxies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from services.key_issuer.resources import RESOURCES
from shared.web.failures import Problem

NOT_LIVE_CHALLENGE: Final = 'Bearer error="invalid_token"'
"""What is said to one that presents no live key (RFC 6750 §3)."""
_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}", re.ASCII)
_LONGEST_KEPT_QUERY: Final = 200
_NOTHING: Final[frozenset[str]] = frozenset()


async def verify(request: web.Request) -> web.Response:
    """200 with the key's headers; 401 for anything not live; 403 where a permission is missing."""
    token = presented_token(request)
    if token is None:
        raise not_live()
    resources = request.app[RESOURCES]
    key = await resources.verifier.live_key(token)
    if key is None:
        raise not_live()
    query = request.rel_url.raw_query_string
    wanted = wanted_permissions(query) if query else _NOTHING
    if not wanted <= key.granted:
        resources.last_use.note(key, resources.clock.now(), wanted & key.granted)
        raise lacks_permission(wanted - key.granted)
    resources.last_use.note(key, resources.clock.now(), wanted)
    return web.Response(headers=key.headers)


def presented_token(request: web.Request) -> str | None:
    """What the one ``Authorization: Bearer`` header holds; ``None`` for none, several, or another scheme."""
    headers = request.headers.getall(hdrs.AUTHORIZATION, None)
    return bearer_token(headers[0]) if headers is not None and len(headers) == 1 else None


def bearer_token(header: str) -> str | None:
    """What follows the scheme ``Bearer`` (RFC 6750 §2.1); ``None`` for another scheme or nothing. Not checked yet."""
    if header[:7] != "Bearer " and header[:7].lower() != "bearer ":
        return None
    return header[7:].strip(" ") or None


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


def wanted_permissions(query: str) -> frozenset[str]:
    """The values of all ``permission`` parameters, in a raw query that may hold anything else.

    Some proxies append the query of the request that they protect: it can ask for more, never for less.
    """
    return _kept(query) if len(query) <= _LONGEST_KEPT_QUERY else _parsed(query)


def _parsed(query: str) -> frozenset[str]:
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    return frozenset(value for name, value in pairs if name == "permission")


_kept = lru_cache(maxsize=1024)(_parsed)
