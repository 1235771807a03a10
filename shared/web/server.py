"""The HTTP server: one process, one port, and a stop that loses no request."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import Any, Final

import structlog
import uvloop
from aiohttp import web

from shared.process import exit_code
from shared.web.accept_backlog import listen, open_doors, stop_listening
from shared.web.connection import Lifetime, LimitedConnection, guarded, made_soundly
from shared.web.health import READINESS

KEEPALIVE_SECONDS: Final = 75.0
DRAIN_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05
TURN_SECONDS: Final = 1.0
"""How often a process says that its loop turns."""
_ENDING: Final = -1.0
"""The longest connection of a server that stops: every answer is its connection's last."""
LARGEST_HEADER: Final = 16 * 1024
_CONNECTION: Final = {
    "access_log": None,
    "keepalive_timeout": KEEPALIVE_SECONDS,
    "max_line_size": LARGEST_HEADER,
    "max_field_size": LARGEST_HEADER,
}

_log = structlog.get_logger("latchkey.server")


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
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=drain_seconds)
    await runner.setup()
    listening: list[asyncio.Server] = []
    try:
        server = runner.server
        assert server is not None
        server.request_handler = guarded(server.request_handler)
        server.request_factory = made_soundly(server.request_factory)
        lifetime = Lifetime(longest_connection)
        connection = partial(LimitedConnection, server, lifetime, **_CONNECTION)
        doors = [listener] if listener is not None else await open_doors(host, port)
        bound = _port_of(doors[0])
        listening = await listen(doors, connection)
        yield bound
        if READINESS in application:
            application[READINESS].draining = True
        lifetime.longest = _ENDING
        await stop_listening(listening, connection)
        await _linger(server, linger_seconds)
    finally:
        for each in listening:
            each.close()
        await runner.cleanup()


async def _linger(server: web.Server, seconds: float) -> None:
    """Serves what is connected until nobody is, or the time is up."""
    deadline = asyncio.get_running_loop().time() + seconds
    while server.connections and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_POLL_SECONDS)


def tell_unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs an error that nobody awaits, but for what is left of a connection whose time to be made was over.

    uvloop leaves the look-up of its name behind, and asyncpg the answer to its first words. Whoever wanted the connection has
    said that there is none. What became of a task is always told.
    """
    unheard = context.get("future")
    left = isinstance(unheard, asyncio.Future) and not isinstance(unheard, asyncio.Task)
    if not (left and isinstance(context.get("exception"), socket.gaierror | ConnectionError)):
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
    on_turn: Callable[[], None] | None = None,
) -> int:
    """Serves until SIGINT or SIGTERM; the exit code of the process (0 stopped, 1 could not listen, or died of a bug).

    ``on_ready`` is called once, when the application has first been ready; ``on_turn`` by the event loop itself, each
    second from its start to its end: where it is not called any more, nothing is answered any more either. The rest is
    as for ``serving``.
    """

    async def main() -> int:
        _allow_all_connections()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(tell_unheard)
        _tell_turns(loop, on_turn)
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


def _tell_turns(loop: asyncio.AbstractEventLoop, on_turn: Callable[[], None] | None) -> None:
    if on_turn is not None:
        on_turn()
        loop.call_later(TURN_SECONDS, _tell_turns, loop, on_turn)


async def _tell_when_ready(application: web.Application, on_ready: Callable[[], None] | None) -> None:
    if on_ready is None:
        return
    while READINESS in application and not (await application[READINESS].report()).ready:
        await asyncio.sleep(_POLL_SECONDS)
    on_ready()


def _port_of(door: socket.socket) -> int:
    address = door.getsockname()
    return int(address[1]) if isinstance(address, tuple) else 0
