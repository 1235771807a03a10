"""Commands leave together, and not later than they must."""

from __future__ import annotations

import asyncio

from shared.redis.connection import ENOUGH, RedisConnection, pack


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One write of the connection."""
        self.written.append(bytes(data))

    def abort(self) -> None:
        """Nothing to do."""


async def test_many_commands_of_one_tick_leave_before_it_ends() -> None:
    """Whoever works them off begins while the rest is still being made; the few that are left follow with the tick."""
    wire, command = Wire(), ("PING",)
    connection = RedisConnection(asyncio.get_running_loop(), 1.0)
    connection.connection_made(wire)
    answers = [connection.send(command) for _ in range(2 * ENOUGH + 3)]
    assert wire.written == [pack(command) * ENOUGH] * 2
    await asyncio.sleep(0)
    assert wire.written[2:] == [pack(command) * 3]
    connection.data_received(b"+PONG\r\n" * len(answers))
    assert await asyncio.gather(*answers) == [b"PONG"] * len(answers)
    connection.abort("over")
