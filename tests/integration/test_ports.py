"""Ports for servers of our own: chosen by one, they are nobody else's."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from deploy.embedded.ports import free_port, is_free


def test_a_chosen_port_is_not_chosen_again() -> None:
    """Neither here nor in another process, although nobody listens there yet."""
    chosen = free_port()
    with pytest.raises(OSError, match=r"no free port on 127\.0\.0\.1"):
        free_port(range(chosen, chosen + 1))
    elsewhere = f"from deploy.embedded.ports import free_port; free_port(range({chosen}, {chosen + 1}))"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", elsewhere],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "found no free port" in ended.stderr


def test_a_bounded_number_of_ports_is_reserved() -> None:
    """A process that asks for many, as the tests do, lets the oldest go."""
    first = free_port()
    others = {free_port(other_than=first) for _ in range(64)}
    assert len(others) == 64
    with socket.socket() as anyone:
        anyone.bind(("127.0.0.1", first))


async def test_a_server_listens_on_a_chosen_port() -> None:
    """Once; a second one is told that the port is taken."""
    port = free_port()
    assert is_free(port)
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port):
        assert not is_free(port)
        with pytest.raises(OSError, match="in use"):
            await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
