"""Ports of the loopback interface that can be kept: outside the range from which the kernel gives ports away."""

from __future__ import annotations

import random
import socket
from typing import Final

_KEPT: Final = range(20_000, 32_000)


def free_port(*, other_than: int = 0) -> int:
    """A port that nobody listens on. Raises `OSError` when, after many tries, there seems to be none."""
    for port in random.sample(_KEPT, 200):
        if port != other_than and is_free(port):
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
