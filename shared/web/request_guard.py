"""What is refused before routing: requests that aiohttp would answer in its own voice, or too kindly, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http_parser import RawRequestMessage

from shared.telemetry.correlation import new_request_id

_SPOKEN: Final = (HttpVersion11, HttpVersion10)
_HEADERS: Final = {
    "Server": "Latchkey",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

Refusal = tuple[int, str]
Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_UNSPOKEN: Final = 400, "Only HTTP/1.1 and HTTP/1.0 are spoken here."

_log = structlog.get_logger("latchkey.server")


def refusal_of(request: web.BaseRequest) -> Refusal | None:
    """The status and the text with which a request is turned away whatever it asks for; None for a sound one."""
    headers = request.headers
    # aiohttp names itself in its 417, and stumbles over one that is no UTF-8 (RFC 9110 §10.1.1).
    if headers.get(hdrs.EXPECT, "100-continue").lower() not in ("100-continue", ""):
        return 417, "The one expectation understood is 100-continue."
    # Who goes by the last coding alone may cut the messages elsewhere than the proxy in front (RFC 9112 §6.1).
    if hdrs.TRANSFER_ENCODING in headers and _codings(request) != "chunked":
        return 400, "The one transfer coding understood is chunked."
    return None


def _codings(request: web.BaseRequest) -> str:
    return ",".join(request.headers.getall(hdrs.TRANSFER_ENCODING)).strip().lower()


def plain_answer(status: int, text: str) -> web.Response:
    """The last answer on a connection, to what no edge has seen."""
    headers = {**_HEADERS, "X-Request-ID": new_request_id()}
    response = web.Response(status=status, text=f"{text}\n", headers=headers)
    response.force_close()
    return response


def guarded(handle: Handle) -> Handle:
    """A server's handler that turns away, without routing, what is unsound whatever it asks for."""

    async def guard(request: web.BaseRequest) -> web.StreamResponse:
        protocol: Any = request.protocol
        protocol.head_received()
        refusal = _UNSPOKEN if protocol.unspoken else refusal_of(request)
        if refusal is None:
            return await handle(request)
        _log.info("request_refused_before_routing", status=refusal[0], reason=refusal[1])
        return plain_answer(*refusal)

    return guard


def made_soundly(make_request: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """A request factory that takes any absolute form: the host in it is not believed, so it need not be one either.

    aiohttp reads the host first of all, and where it is none (``http://xn--a/``) leaves the connection open for good.
    A version that is not spoken here is noted on the connection, and answered in one that is.
    """

    def make(message: RawRequestMessage, payload: Any, protocol: Any, *others: Any) -> web.BaseRequest:
        if message.version not in _SPOKEN:
            protocol.unspoken = True
            message = message._replace(version=HttpVersion11)
        try:
            return make_request(message, payload, protocol, *others)
        except ValueError:
            relative = message._replace(url=message.url.relative())
            return make_request(relative, payload, protocol, *others)

    return make
