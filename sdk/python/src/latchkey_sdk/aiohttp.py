"""aiohttp's server: ``web.Application(middlewares=[middleware(guard, "customise_score")])``."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import hdrs, web

from latchkey_sdk._guard import Guard
from latchkey_sdk._header import bearer_key
from latchkey_sdk._key import Key
from latchkey_sdk._refused import Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Middleware(Protocol):
    """What ``web.Application(middlewares=[…])`` takes."""

    def __call__(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        """Answers a request, by the handler or instead of it."""
        ...


_NAME: Final = "latchkey"
_said_once: Final[set[str]] = set()
_ERRORS: Final[dict[int, type[web.HTTPError]]] = {
    401: web.HTTPUnauthorized,
    403: web.HTTPForbidden,
    503: web.HTTPServiceUnavailable,
}


def middleware(guard: Guard, *permissions: str) -> Middleware:
    """Lets through what carries a live key with the permissions, and puts its ``Key`` into ``request["latchkey"]``.

    It raises aiohttp's own exceptions: 401 without a live key, 403 without one of the permissions, 503 while keys cannot
    be checked. A browser's preflight carries no key: put CORS in front of this.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            sent = request.headers.getall(hdrs.AUTHORIZATION, ())
            key = await guard.check(bearer_key(sent), *permissions)
        except Refused as refused:
            raise _ERRORS[refused.status](text=f"{refused}\n", headers=refused.headers) from None
        _put_quietly(request, key)
        return await handler(request)

    return check


def _put_quietly(request: web.Request, key: Key) -> None:
    """Without the warning, once in a process, that newer versions prefer names of a kind that older ones do not have."""
    if _NAME in _said_once:
        request[_NAME] = key
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        request[_NAME] = key
    _said_once.add(_NAME)
