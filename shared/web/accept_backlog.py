"""Listening, and connections that wait in the kernel's queue when a server closes: made, maybe with a request, not accepted."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

BACKLOG: Final = 1024
"""How many may wait. A busy process accepts one at a time, between requests: under load a hundred wait."""

Protocol = Callable[[], asyncio.BaseProtocol]


async def open_doors(host: str, port: int) -> list[socket.socket]:
    """A bound socket for each address of ``host``. Raises ``OSError``: the port is taken or the address is not ours."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    doors: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            doors.append(socket.create_server(address, family=family, backlog=BACKLOG))
    except OSError:
        for door in doors:  # those before the one that failed
            door.close()
        raise
    return doors


async def listen(doors: Sequence[socket.socket], protocol: Protocol) -> list[asyncio.Server]:
    """Serves what comes to bound sockets; they belong to the servers from now on."""
    loop = asyncio.get_running_loop()
    return [await loop.create_server(protocol, sock=door, backlog=BACKLOG) for door in doors]


async def stop_listening(servers: Sequence[asyncio.Server], protocol: Protocol) -> None:
    """Closes listening sockets, and serves what was connected to them by then.

    The kernel resets whatever waits at a socket that is closed, and a proxy must not send a POST again.
    """
    doors = [socket.socket(fileno=os.dup(door.fileno())) for server in servers for door in server.sockets]
    for server in servers:
        server.close()  # the loop accepts no more; the sockets stay open by our descriptors
    await asyncio.sleep(0)
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
