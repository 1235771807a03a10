"""Running until told to stop: SIGINT and SIGTERM end a command in order, whatever it is at."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable

import uvloop


class Stop:
    """Becomes set by the first SIGINT or SIGTERM. While it is not awaited yet, that signal cancels the start."""

    def __init__(self) -> None:
        self._set = asyncio.Event()
        self._task = asyncio.current_task()
        self._started = False

    def request(self) -> None:
        """What the signals do."""
        self._set.set()
        if not self._started and self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        """Waits for it; from here on a signal ends the wait and cancels nothing."""
        self._started = True
        await self._set.wait()


def run_until_stopped(main: Callable[[Stop], Awaitable[None]]) -> None:
    """Runs `main` on an event loop of its own; returns when it has ended or was stopped."""

    async def run() -> None:
        stop = Stop()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.request)
        with contextlib.suppress(asyncio.CancelledError):  # stopped while it was starting
            await main(stop)

    uvloop.run(run())
