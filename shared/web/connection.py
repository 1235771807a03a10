"""One connection of a client: limits of time and life, and the requests that are refused before routing.

Those are what aiohttp would answer in its own voice, or too kindly, or not at all.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import structlog
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy

from shared.telemetry.correlation import new_request_id

HEAD_SECONDS: Final = 10.0
"""A connection whose request head is not whole by then is dropped; aiohttp itself waits for its keep-alive time."""
TAKING_SECONDS: Final = 20.0
"""A connection whose client takes nothing of its answer for so long is dropped, also one that is closing already."""

LONGEST_COOKIES: Final = 16 * 1024
"""In characters, on however many lines: as much as one line may have."""

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


@dataclass(slots=True)
class Lifetime:
    """How long the connections of a server may live."""

    longest: float = inf
    """Seconds after which a connection is closed with its next answer; below 0 every answer is the last."""


class LimitedConnection(web.RequestHandler):
    """aiohttp's handler of a connection, with limits; of aiohttp's it uses public names only."""

    __slots__ = ("_clock", "_connected_on", "_head_since", "_head_timer", "_lifetime", "_serving", "unspoken")

    def __init__(self, server: web.Server, lifetime: Lifetime, **options: Any) -> None:
        """``options`` are those of aiohttp's ``RequestHandler``."""
        self._clock = asyncio.get_running_loop()
        super().__init__(server, loop=self._clock, **options)
        self._lifetime = lifetime
        self._serving = False
        self.unspoken = False
        """Whether a request came in a version of HTTP that is not spoken here."""
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The time of the first head begins."""
        super().connection_made(transport)
        self._connected_on = self._clock.time()
        self._begin_head()
        _limit_taking(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing is waited for any more."""
        super().connection_lost(exc)
        if self._head_timer is not None:
            self._head_timer.cancel()

    def data_received(self, data: bytes) -> None:
        """The time of a head begins with its first byte."""
        if not self._serving and self._head_since == inf:
            self._begin_head()
        super().data_received(data)

    @property
    def is_stopping(self) -> bool:
        """Whether its server stops."""
        return self._lifetime.longest < 0

    def head_received(self) -> None:
        """The head of a request is whole; ``guarded`` says so."""
        self._serving = True
        self._head_since = inf

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """On an old connection, and on all while the server stops, the answer is the last: the client takes another."""
        self._serving = False
        longest = self._lifetime.longest
        if longest != inf and self._clock.time() - self._connected_on > longest:
            resp.force_close()
        return super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature; it quotes the request, maybe a secret
    ) -> web.StreamResponse:
        """What is no HTTP, or a bug before routing, is answered with a plain sentence."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        _log.info("request_refused_before_routing", status=status, reason=type(exc).__name__)
        return plain_answer(
            status,
            "The request is no well-formed HTTP/1.1." if status == 400 else "Something went wrong.",  # noqa: PLR2004
        )

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A body that nobody could decode is its sender's fault: no stack trace of ours."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def _begin_head(self) -> None:
        self._head_since = self._clock.time()
        if self._head_timer is None:
            self._head_timer = self._clock.call_later(HEAD_SECONDS, self._check_head)

    def _check_head(self) -> None:
        """One timer serves many requests: it looks again when the head that is under way is due."""
        self._head_timer = None
        if self._head_since == inf:
            return
        due = self._head_since + HEAD_SECONDS
        if self._clock.time() >= due:
            self.force_close()
        else:
            self._head_timer = self._clock.call_at(due, self._check_head)


def is_stopping(request: web.BaseRequest) -> bool:
    """Whether the server that this request came to stops, so that an answer without an end should end."""
    protocol = request.protocol
    return isinstance(protocol, LimitedConnection) and protocol.is_stopping


def _limit_taking(transport: asyncio.BaseTransport) -> None:
    """Lets the kernel drop a client that takes nothing; where it cannot (not Linux), the proxy in front must."""
    connection = transport.get_extra_info("socket")
    if connection is None or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(TAKING_SECONDS * 1000))


def refusal_of(request: web.BaseRequest) -> Refusal | None:
    """The status and the text with which a request is turned away whatever it asks for; None for a sound one."""
    headers = request.headers
    # aiohttp names itself in its 417, and stumbles over one that is no UTF-8 (RFC 9110 §10.1.1).
    if headers.get(hdrs.EXPECT, "100-continue").lower() not in ("100-continue", ""):
        return 417, "The one expectation understood is 100-continue."
    # Who goes by the last coding alone may cut the messages elsewhere than the proxy in front (RFC 9112 §6.1).
    if hdrs.TRANSFER_ENCODING in headers and _codings(request) != "chunked":
        return 400, "The one transfer coding understood is chunked."
    if len(headers.get(hdrs.COOKIE, "")) > LONGEST_COOKIES:
        return 431, "The cookies are too long."
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
    A version that is not spoken here is noted on the connection, and answered in one that is. Several ``Cookie`` lines
    become one (RFC 9113 §8.2.3), as proxies split them and aiohttp reads the first.
    """

    def make(message: RawRequestMessage, payload: Any, protocol: Any, *others: Any) -> web.BaseRequest:
        if message.version not in _SPOKEN:
            protocol.unspoken = True
            message = message._replace(version=HttpVersion11)
        # What stands for a request that is no HTTP has no headers, and no multidict of them.
        cookies = message.headers.getall(hdrs.COOKIE, ()) if message.headers else ()
        if len(cookies) > 1:
            headers = CIMultiDict(message.headers)
            headers[hdrs.COOKIE] = "; ".join(cookies)
            message = message._replace(headers=CIMultiDictProxy(headers))
        try:
            return make_request(message, payload, protocol, *others)
        except ValueError:
            relative = message._replace(url=message.url.relative())
            return make_request(relative, payload, protocol, *others)

    return make
