"""A server that stops loses no request: neither those in hand nor those that it had no time yet to accept."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Final

import pytest
import uvloop
from aiohttp import web

from shared.web.server import serving

HOST: Final = "127.0.0.1"
REQUEST: Final = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
WAITING: Final = 100
PATIENCE_SECONDS: Final = 30.0


async def _well(_request: web.Request) -> web.Response:
    return web.Response(text="well")


async def _stop_a_server_that(connections: list[socket.socket], listener: socket.socket | None) -> None:
    """Starts a server and stops it; in between, without a breath for it to accept them, connections send requests."""
    application = web.Application()
    application.router.add_post("/", _well)
    async with serving(application, HOST, 0, listener=listener, linger_seconds=PATIENCE_SECONDS) as port:
        for connection in connections:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect((HOST, port))
            connection.sendall(REQUEST)


@pytest.mark.parametrize("given", [False, True], ids=["its own socket", "a supervisor's socket"])
def test_what_waits_at_a_closing_door_is_answered(given: bool) -> None:
    """Connected and sent, but not accepted when the stop comes, as it is under load: all are answered, and none later."""
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.socket()) for _ in range(WAITING)]
        listener = stack.enter_context(socket.create_server((HOST, 0), backlog=WAITING)) if given else None
        uvloop.run(_stop_a_server_that(connections, listener))
        answers = [connection.recv(65_536) for connection in connections]
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert all(b"Connection: close" in answer for answer in answers)
