"""A few threads for costly work, shared out fairly: each requester has a line of its own, and the lines take turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor  # noqa: TID251 - here it is made fair
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

ResultT = TypeVar("ResultT")


class LineFullError(Exception):
    """There is no place for this work: its requester has as many as any other, and all places are taken."""


@dataclass(eq=False, slots=True)
class _Job:
    """Work of one requester, and who waits for its outcome."""

    requester: str
    work: Callable[[], Any]
    outcome: asyncio.Future[Any]


_Line = OrderedDict[_Job, None]


class FairExecutor:
    """Runs work on threads, one piece of each requester in turn; a bounded number of pieces is taken on.

    Where every place is taken, the newest piece of the requester that has most of them makes room for one that has
    fewer. So a requester alone may have all places, and loses only those that others need. One that comes waits no
    longer than until each of the others had one piece done.

    A requester is whoever strangers' work is counted by: a peer (``peer_of``), or an account.

    All methods are for one event loop's thread.
    """

    def __init__(self, threads: int, places: int, name: str) -> None:
        """Starts no thread yet.

        Args:
            threads: how many pieces run at a time.
            places: how many may run or wait.
            name: what the threads are called.
        """
        self._pool: Final = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._threads: Final = threads
        self._places: Final = places
        self._running = 0
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        """What waits, by requester: oldest first in a line, and the line whose turn is next first."""

    @property
    def jobs(self) -> int:
        """How many pieces run or wait."""
        return self._running + sum(map(len, self._lines.values()))

    async def run(self, requester: str, work: Callable[[], ResultT]) -> ResultT:
        """Does a piece of work for a requester, and returns or raises what it does.

        A caller that gives up takes back what still waits. What runs keeps its thread and its place until it is done:
        else callers that give up one after the other would pile up more than there are places.

        Raises:
            LineFullError: there was no place for it, or it had to give its place to a requester that has fewer.
        """
        if self.jobs >= self._places:
            self._make_room(requester)
        job = _Job(requester, work, asyncio.get_running_loop().create_future())
        self._lines.setdefault(requester, OrderedDict())[job] = None
        self._start_next()
        try:
            outcome: ResultT = await job.outcome
        finally:
            self._remove(job)
        return outcome

    def close(self) -> None:
        """Drops what waits and lets what runs end by itself."""
        for line in self._lines.values():
            for job in line:
                job.outcome.cancel()
        self._lines.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_room(self, requester: str) -> None:
        longest = max(self._lines.values(), key=len, default=_Line())
        if len(longest) <= len(self._lines.get(requester, ())) + 1:
            raise LineFullError
        job = next(reversed(longest))
        self._remove(job)
        if not job.outcome.done():
            job.outcome.set_exception(LineFullError())

    def _remove(self, job: _Job) -> None:
        line = self._lines.get(job.requester)
        if line is not None:
            line.pop(job, None)
            if not line:
                del self._lines[job.requester]

    def _start_next(self) -> None:
        while self._lines and self._running < self._threads:
            requester, line = next(iter(self._lines.items()))
            job = next(iter(line))
            self._remove(job)
            if requester in self._lines:
                self._lines.move_to_end(requester)
            self._running += 1
            done = partial(_on_loop, asyncio.get_running_loop(), partial(self._finish, job))
            self._pool.submit(job.work).add_done_callback(done)

    def _finish(self, job: _Job, done: Future[Any]) -> None:
        self._running -= 1
        if not job.outcome.done():
            if done.cancelled():
                job.outcome.cancel()
            elif (error := done.exception()) is not None:
                job.outcome.set_exception(error)
            else:
                job.outcome.set_result(done.result())
        self._start_next()


def _on_loop(
    loop: asyncio.AbstractEventLoop, callback: Callable[[Future[Any]], None], done: Future[Any]
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback, done)
