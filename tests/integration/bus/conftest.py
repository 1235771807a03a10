"""A Valkey of the bus tests' own, and helpers to run both ends of the bus in the test."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar

import pytest

from deploy.embedded.account import programs_for
from deploy.embedded.ports import free_port
from shared.bus import Bus, Consumer
from shared.bus.backlog import HIGH_WATER
from shared.contracts.base import Command, Message, MessageType


class EchoReply(Message):
    """What an echo says."""

    text: str


class Echo(Command[EchoReply]):
    """Says the same again."""

    type: ClassVar[str] = "echo.say"
    queue: ClassVar[str] = "key_issuer"
    replies: ClassVar[MessageType] = EchoReply

    text: str


class Valkey:
    """A server that a test may kill, stall and start again on the same port with the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; the caller polls."""
        program = programs_for(None).valkey
        options = ["--port", str(self.port), "--dir", str(self._folder), "--appendonly", "yes", "--save", ""]
        self._process = subprocess.Popen(
            [program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A fresh, empty server."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Polls until something is so."""
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_bus(
    valkey: Valkey, source: str = "auth_api", high_water: int = HIGH_WATER
) -> AsyncIterator[Bus]:
    """One end of the bus, whose server answers."""
    bus = Bus(valkey.url, source=source, high_water=high_water)

    async def answers() -> bool:
        with suppress(Exception):
            await bus.ping()
            return True
        return False

    await until(answers)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


@asynccontextmanager
async def consuming(consumer: Consumer) -> AsyncIterator[asyncio.Task[None]]:
    """Runs a consumer and stops it cleanly."""
    task = asyncio.create_task(consumer.run())
    try:
        yield task
    finally:
        consumer.stop()
        with suppress(asyncio.CancelledError):
            await task
