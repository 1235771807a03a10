"""``/api/v1/verify``: is this key live and does it carry these permissions? Answered in headers, for reverse proxies."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from services.key_issuer.handlers.application import RESOURCES
from services.key_issuer.handlers.challenge import lacks_permission, not_live, presented_token

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


def wanted_permissions(query: str) -> frozenset[str]:
    """The values of all ``permission`` parameters, in a raw query that may hold anything else.

    Some proxies append the query of the request that they protect: it can ask for more, never for less.
    """
    return _kept(query) if len(query) <= _LONGEST_KEPT_QUERY else _parsed(query)


def _parsed(query: str) -> frozenset[str]:
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    return frozenset(value for name, value in pairs if name == "permission")


_kept = lru_cache(maxsize=1024)(_parsed)
