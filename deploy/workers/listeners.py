"""The listening sockets of a service with several workers: one each on the same port, kept by the supervisor.

The kernel shares connections out among them (SO_REUSEPORT). Since the supervisor keeps them open while workers come and
go, what has connected and is not accepted yet waits for the next worker instead of being refused.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Final

_PATIENCE_SECONDS: Final = 2.0


def open_listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """``count`` bound and listening sockets; port 0 takes a free one for all of them.

    Raises:
        OSError: the port is taken or the address is not ours.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    _check_free(family, address)
    listeners: list[socket.socket] = []
    try:
        for _ in range(count):
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            address = listener.getsockname()
            listener.listen(1024)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _check_free(family: int, address: Any) -> None:
    """Two supervisors of one user could share a port without noticing; a plain bind says that it is taken.

    The workers of a supervisor that was killed just now get a moment to let go.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError:
                if time.monotonic() > deadline:
                    raise
            else:
                return
        time.sleep(0.1)
