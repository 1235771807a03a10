"""``/api/v1/revocations``: resource servers that remember keys hear at once which of them to forget (server-sent events)."""

from __future__ import annotations

from typing import Final

from aiohttp import HttpVersion11, web

from services.key_issuer.handlers.verify import lacks_permission, not_live, presented_token
from services.key_issuer.listener_keys import may_listen
from services.key_issuer.listeners import Listener, TooManyListenersError
from services.key_issuer.operators import INTROSPECT
from services.key_issuer.resources import RESOURCES, Resources
from services.key_issuer.verification import LiveServiceKey
from shared.errors import StoreUnavailable
from shared.web.connection import is_stopping
from shared.web.edge import stream_headers
from shared.web.failures import Problem

_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
_RETRY: Final = {"Retry-After": "5"}


async def revocations(request: web.Request) -> web.StreamResponse:
    """GET: the stream; 401 for no live key, 403 for any but a service key that may introspect, 503 while deaf.

    It ends when the listener goes or does not read, its service key ends, or this process cannot hear or stops. 429 where
    one service key has too many streams, 503 where this process has.
    """
    resources = request.app[RESOURCES]
    token, key = await _authenticate(request, resources)
    await resources.revocations.check()
    if is_stopping(request):
        raise StoreUnavailable("revocations", "this process stops")
    _check_room(resources, key)
    response = web.StreamResponse(headers=stream_headers(request, _HEADERS))
    response.force_close()
    if request.version == HttpVersion11:
        response.enable_chunked_encoding()
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        return response
    listener = Listener(
        transport,
        token,
        key.key_id,
        request.headers.get("Last-Event-ID"),
        chunked=response.chunked,
        is_stopping=lambda: is_stopping(request),
    )
    with resources.listeners.listening(listener):
        await listener.ended
    return response


async def _authenticate(request: web.Request, resources: Resources) -> tuple[str, LiveServiceKey]:
    token = presented_token(request)
    if token is None:
        raise not_live()
    key = await resources.verifier.live_service_key(token)
    if key is None and await resources.verifier.live_key(token) is None:
        raise not_live()
    if key is None or not may_listen(key):
        raise lacks_permission([INTROSPECT])
    resources.last_use.note_service(key, resources.clock.now())
    return token, key


def _check_room(resources: Resources, key: LiveServiceKey) -> None:
    try:
        resources.listeners.check_room(key.key_id)
    except TooManyListenersError as error:
        if error.of_key:
            raise Problem(429, "This service key has too many streams here.", headers=_RETRY) from None
        raise Problem(503, "There are too many streams here.", headers=_RETRY) from None
