"""Connections that wait in the kernel's queue when a server closes: made, maybe with their request sent, and not accepted."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

BACKLOG: Final = 1024
"""How many may wait. A busy process accepts one at a time, between requests: under load a hundred wait."""


async def stop_listening(site: web.BaseSite, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
    """Closes a site's listening sockets, and serves what was connected to them by then.

    The kernel resets whatever waits at a socket that is closed, and a proxy must not send a POST again.
    """
    server: Any = site._server  # noqa: SLF001 - aiohttp tells only the addresses
    doors = [socket.socket(fileno=os.dup(door.fileno())) for door in server.sockets]
    await site.stop()  # the loop accepts no more; the sockets stay open by our descriptors
    waiting = [connection for door in doors for connection in _last_of(door)]
    loop = asyncio.get_running_loop()
    served = (loop.connect_accepted_socket(protocol, connection) for connection in waiting)
    await asyncio.gather(*served, return_exceptions=True)  # one that is gone again is nobody's loss


def _last_of(door: socket.socket) -> list[socket.socket]:
    """Accepts everything that waits, and closes the door in the same breath."""
    door.setblocking(False)
    waiting: list[socket.socket] = []
    with door, suppress(OSError):
        while len(waiting) <= BACKLOG:
            connection, _ = door.accept()
            connection.setblocking(False)
            waiting.append(connection)
    return waiting
