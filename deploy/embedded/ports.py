"""Ports of the loopback interface that can be kept: outside the range from which the kernel gives ports away."""

from __future__ import annotations

import atexit
import random
import socket
import sys
from collections import deque
from typing import Final

PASSING: Final = range(26_000, 32_000)
LASTING: Final = range(20_000, 26_000)
"""For servers that come back to the same port: nobody else chooses it while they are away."""
_HELD: Final = 64
_reserved: Final[deque[socket.socket]] = deque()


def free_port(among: range = PASSING, *, other_than: int = 0) -> int:
    """A port that nobody listens on, reserved until this process has asked for 64 others.

    Between the choice and the start of its server, no `free_port` of any process gives the port away again.
    Raises `OSError` when, after many tries, there seems to be none.
    """
    for port in random.sample(among, min(len(among), 200)):
        if port != other_than and _reserve(port):
            return port
    raise OSError("found no free port on 127.0.0.1")


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@atexit.register
def _give_back() -> None:
    """So that Python does not complain of them at the end of a process."""
    while _reserved:
        _reserved.pop().close()


def _reserve(port: int) -> bool:
    """Binds the port and keeps it; a server, which sets SO_REUSEADDR as all do, can listen there all the same.

    Only Linux lets it: elsewhere the port is only looked at.
    """
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        return False
    if sys.platform == "linux":
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _reserved.append(holder)
        if len(_reserved) > _HELD:
            _reserved.popleft().close()
    else:
        holder.close()
    return True
