"""Background tasks that are watched: an outage is waited for, a bug takes the process down loudly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog

from shared.errors import StoreUnavailable
from shared.process import end_process

_log = structlog.get_logger("latchkey.supervisor")

STOP_SECONDS: Final = 20.0


class Backoff:
    """Growing pauses between tries: 0.1 s to 2 s with jitter, so that a server that returns is not stormed."""

    def __init__(self, first: float = 0.1, longest: float = 2.0) -> None:
        """Begins with the first pause."""
        self._first = first
        self._longest = longest
        self._next = first
        self.fresh = True
        """Whether nothing has failed since it worked last."""

    def reset(self) -> None:
        """It worked: the next pause is the first again."""
        self._next, self.fresh = self._first, True

    async def sleep(self) -> None:
        """Pauses, and doubles the pause for the next time."""
        self.fresh = False
        await asyncio.sleep(self._next * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        self._next = min(self._next * 2, self._longest)


def watched(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task that should run until it is cancelled; if a bug ends it, the process ends too, loudly."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background_task_died", task=task.get_name(), exc_info=error)
        end_process(task.get_name())


class Supervisor:
    """Runs named background tasks until it is stopped."""

    def __init__(self, on_bug: Callable[[str], None] = end_process) -> None:
        """``on_bug`` gets the name of the task that died, and ends the process."""
        self._on_bug = on_bug
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed = False

    def run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Starts ``work``; when it meets an outage it is started again, when it ends otherwise that is a bug."""
        self._tasks.add(asyncio.create_task(self._watch(name, work), name=name))

    async def stop(self, grace: float = 0.0) -> None:
        """Waits up to ``grace`` seconds for tasks that were told to end, cancels what still runs, and waits for it."""
        if self._tasks and grace:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)

    async def _watch(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff()
        while True:
            try:
                await work()
            except StoreUnavailable as error:
                _log.warning("waiting_for_store", task=name, reason=str(error))
                await backoff.sleep()
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001 - whatever it is, it is a bug
                _log.exception("background_task_died", task=name)
                self.failed = True
                self._on_bug(name)
                return
            else:
                return
