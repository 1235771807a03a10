"""The HTTP server: one process, one port, a time limit for request heads, and a stop that loses no request."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import Any, Final

import structlog
import uvloop
from aiohttp import HttpVersion11, web
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from shared.process import exit_code
from shared.web.admission import Refusal, plain_answer, refusal_of, served_by_path
from shared.web.health import READINESS
from shared.web.waiting import BACKLOG, stop_listening

HEAD_SECONDS: Final = 10.0
"""A connection whose request head is not whole by then is dropped; aiohttp itself waits for its keep-alive time."""
KEEPALIVE_SECONDS: Final = 75.0
TAKING_SECONDS: Final = 20.0
"""A connection whose client takes nothing of its answer for so long is dropped, also one that is closing already."""
DRAIN_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05
_ENDING: Final = -1.0
"""The longest connection of a server that stops: every answer is its connection's last."""
LARGEST_HEADER: Final = 16 * 1024

_log = structlog.get_logger("latchkey.server")


class _LimitedHandler(RequestHandler):
    """aiohttp's connection handler with a time limit for the head, and errors that tell and log nothing of it."""

    __slots__ = ("_connected_on", "_head_begun")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._head_begun = True
        self._connected_on = self._loop.time()
        super().connection_made(transport)
        self._limit_head()
        _limit_taking(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._head_begun = False
        elif not self._head_begun:
            self._head_begun = True
            self._limit_head()

    def _limit_head(self) -> None:
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
        close_time = self._loop.time() + HEAD_SECONDS
        self._next_keepalive_close_time = close_time
        self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)

    def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Turns away, without routing, what is unsound whatever it asks for."""
        refusal = refusal_of(request)
        if refusal is not None:
            request._cache["version"] = HttpVersion11  # noqa: SLF001 - else the answer speaks what we do not
            request_handler = partial(_refuse, refusal)
        return super()._handle_request(request, start_time, request_handler)

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """On an old connection, and on all while the server stops, the answer is the last: the client takes another."""
        oldest = getattr(self._manager, "longest_connection", inf)
        if oldest != inf and self._loop.time() - self._connected_on > oldest:
            resp.force_close()
        return super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature; it quotes the request, maybe a secret
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        _log.info("request_refused_before_routing", status=status, reason=type(exc).__name__)
        return plain_answer(
            status,
            "The request is no well-formed HTTP/1.1." if status == 400 else "Something went wrong.",  # noqa: PLR2004
        )

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A body that nobody could decode is its sender's fault: no stack trace of ours."""
        if not isinstance(kw.get("exc_info"), RequestPayloadError):
            super().log_exception(*args, **kw)


def _limit_taking(transport: asyncio.BaseTransport) -> None:
    """Lets the kernel drop a client that takes nothing; where it cannot (not Linux), the proxy in front must."""
    connection = transport.get_extra_info("socket")
    if connection is None or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(TAKING_SECONDS * 1000))


async def _refuse(refusal: Refusal, _request: web.BaseRequest) -> web.StreamResponse:
    _log.info("request_refused_before_routing", status=refusal[0], reason=refusal[1])
    return plain_answer(*refusal)


class _Server(web.Server):
    """aiohttp's server with our connection handler."""

    longest_connection = inf
    """Seconds after which a connection is closed with its next answer."""

    def __call__(self) -> RequestHandler:
        return _LimitedHandler(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """aiohttp's runner with our server."""

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        plain.__class__ = _Server
        plain.request_factory = served_by_path(plain.request_factory)
        return plain


@asynccontextmanager
async def serving(
    application: web.Application,
    host: str,
    port: int,
    *,
    listener: socket.socket | None = None,
    linger_seconds: float = 0.0,
    longest_connection: float = inf,
    drain_seconds: float = DRAIN_SECONDS,
) -> AsyncIterator[int]:
    """Serves an application; yields the port (a free one for 0); stops without losing a request at the end.

    The stop: not ready any more, no new connections but those that wait already, for up to ``linger_seconds`` the open
    ones are served and told to close (a proxy's pooled connections end cleanly), then up to ``drain_seconds`` for
    running requests, clean-up.

    Args:
        listener: a bound socket to listen on, instead of ``host`` and ``port``.
        longest_connection: seconds after which a connection is closed with its next answer, so that a proxy's pooled
            connections spread over the replicas that there are.

    Raises:
        OSError: the port is taken or the address is not ours.
    """
    runner = _Runner(
        application,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=drain_seconds,
        max_line_size=LARGEST_HEADER,
        max_field_size=LARGEST_HEADER,
    )
    await runner.setup()
    try:
        site = _site(runner, host, port, listener)
        await site.start()
        server: Any = runner.server
        server.longest_connection = longest_connection
        yield _port_of(runner)
        if READINESS in application:
            application[READINESS].draining = True
        server.longest_connection = _ENDING
        await stop_listening(site, server)
        await _linger(server, linger_seconds)
    finally:
        await runner.cleanup()


def _site(runner: web.AppRunner, host: str, port: int, listener: socket.socket | None) -> web.BaseSite:
    if listener is None:
        return web.TCPSite(runner, host, port, backlog=BACKLOG)
    return web.SockSite(runner, listener, backlog=BACKLOG)


async def _linger(server: web.Server, seconds: float) -> None:
    """Serves what is connected until nobody is, or the time is up."""
    deadline = asyncio.get_running_loop().time() + seconds
    while server.connections and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_POLL_SECONDS)


def tell_unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs an error that nobody awaits, but for a look-up that took longer than its connection was given.

    uvloop leaves such a look-up behind; whoever wanted the connection has said that there is none.
    """
    if not isinstance(context.get("exception"), socket.gaierror):
        loop.default_exception_handler(context)


def _settle_garbage_collector() -> None:
    """What was made at the start stays: the collector need not walk it again, and looks less often at the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _allow_all_connections() -> None:
    """Raises the soft limit of open files to the hard one: the usual 1,024 are soon held open by those who mean ill."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(
    create_app: Callable[[], web.Application],
    *,
    host: str,
    port: int,
    service: str,
    listener: socket.socket | None = None,
    linger_seconds: float = 0.0,
    longest_connection: float = inf,
    on_ready: Callable[[], None] | None = None,
) -> int:
    """Serves until SIGINT or SIGTERM; the exit code of the process (0 stopped, 1 could not listen, or died of a bug).

    ``on_ready`` is called once, when the application has first been ready; the rest is as for ``serving``.
    """

    async def main() -> int:
        _allow_all_connections()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(tell_unheard)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            application = create_app()
            _settle_garbage_collector()  # before the first request could wait for it
            server = serving(
                application,
                host,
                port,
                listener=listener,
                linger_seconds=linger_seconds,
                longest_connection=longest_connection,
            )
            async with server as bound:
                _log.info("listening", service=service, host=host, port=bound)
                watch = asyncio.create_task(_tell_when_ready(application, on_ready))
                await stop.wait()
                watch.cancel()
                _log.info("stopping", service=service)
        except OSError as error:
            _log.error("cannot_listen", service=service, host=host, port=port, reason=str(error))
            return 1
        return exit_code()

    return uvloop.run(main())


async def _tell_when_ready(application: web.Application, on_ready: Callable[[], None] | None) -> None:
    if on_ready is None:
        return
    while READINESS in application and not (await application[READINESS].report())[0]:
        await asyncio.sleep(_POLL_SECONDS)
    on_ready()


def _port_of(runner: web.AppRunner) -> int:
    address = runner.addresses[0]
    return int(address[1]) if isinstance(address, tuple) else 0
