"""A Valkey of the bus tests' own that may be killed, stalled and emptied, and helpers to run both ends of the bus."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from deploy.embedded.account import programs_for
from deploy.embedded.ports import free_port
from shared.bus import Bus, Consumer, Delivery, EventConsumer, handler, names
from shared.bus.bus import HIGH_WATER
from shared.bus.status import bus_status
from shared.clock import Clock, SystemClock
from shared.errors import BusUnavailable, StoreUnavailable
from shared.failpoints import VARIABLE
from tests.harness.buses import started
from tests.harness.processes import REPOSITORY, clean_environ
from tests.integration.bus.messages import Echo, EchoReply

STREAM = names.commands(Echo.queue)
GROUP = names.group(Echo.queue)
SERVER_VARIABLE = "LATCHKEY_TEST_REDIS_PROGRAM"
"""Another `redis-server` or `valkey-server` to run these tests on."""


class Valkey:
    """A server that a test may kill, stall and start again on the same port with the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, appendonly: str = "yes") -> None:
        """Starts it; the caller polls."""
        program = os.environ.get(SERVER_VARIABLE) or programs_for(None).valkey
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        options += ["--appendonly", appendonly, "--save", ""]
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
            self._process.kill()
            self._process.wait()
            self._process = None


async def until(is_so: Callable[[], bool | Awaitable[bool]], seconds: float = 15.0) -> None:
    """Polls until something is so; a server that is not back yet is asked again."""
    async with asyncio.timeout(seconds):
        while True:
            with suppress(StoreUnavailable):
                answer = is_so()
                if await answer if inspect.isawaitable(answer) else answer:
                    return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_bus(
    valkey: Valkey, source: str = "auth_api", *, high_water: int = HIGH_WATER, clock: Clock | None = None
) -> AsyncIterator[Bus]:
    """One end of the bus, whose server answers."""
    bus = Bus(valkey.url, source=source, high_water=high_water, clock=clock)
    await until(lambda: answers(bus))
    async with started(bus):
        yield bus


@asynccontextmanager
async def consuming(consumer: Consumer | EventConsumer) -> AsyncIterator[asyncio.Task[None]]:
    """Runs a consumer and stops it cleanly."""
    task = asyncio.create_task(consumer.run())
    try:
        yield task
    finally:
        consumer.stop()
        with suppress(asyncio.CancelledError):
            await task


@contextmanager
def process(
    valkey: Valkey, role: str, *, idle_ms: int = 300, failpoints: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `worker.py`; killed at the end."""
    command = [sys.executable, "-m", "tests.integration.bus.worker", valkey.url, role, str(idle_ms)]
    environ = clean_environ({VARIABLE: failpoints} if failpoints else {})
    started = subprocess.Popen(command, cwd=REPOSITORY, env=environ, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.send_signal(signal.SIGCONT)
            started.kill()
        started.wait()


async def echo(command: Echo, _delivery: Delivery) -> EchoReply:
    """Says the same again."""
    return EchoReply(text=command.text)


def echoing(bus: Bus, claim_idle_ms: int = 15_000) -> Consumer:
    """A consumer that echoes."""
    return Consumer(bus, Echo.queue, [handler(Echo, echo)], claim_idle_ms=claim_idle_ms)


async def is_quiet(bus: Bus) -> bool:
    """Nothing waits anywhere."""
    return (await bus_status(bus.redis, SystemClock().now())).quiet


async def answers(bus: Bus) -> bool:
    """The server is there."""
    with suppress(Exception):
        await bus.ping()
        return True
    return False


async def works(bus: Bus) -> bool:
    """A request is answered."""
    with suppress(BusUnavailable):
        return (await bus.request(Echo(text="ok"), timeout=1)).text == "ok"
    return False


async def has_backlog(bus: Bus, entries: int = 1) -> bool:
    """Whether so many commands wait to be read, at least."""
    length: int = await bus.redis.execute("XLEN", STREAM)
    return length >= entries
