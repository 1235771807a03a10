"""A few threads for costly work, shared out fairly: each requester has a line of its own, and the lines take turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor  # noqa: TID251 - here it is made fair
from dataclasses import dataclass
from functools import partial
from threading import Lock
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

    def run(self) -> None:
        """Does the work, on a thread, and hands the outcome over to the event loop."""
        try:
            settle = partial(self._settle, self.outcome.set_result, self.work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
            settle = partial(self._settle, self.outcome.set_exception, error)
        loop = self.outcome.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle)

    def refuse(self) -> None:
        """Tells who waits that there is no place any more."""
        self._settle(self.outcome.set_exception, LineFullError())

    def _settle(self, settle: Callable[[Any], None], outcome: object) -> None:
        if not self.outcome.done():  # else nobody waits any more
            settle(outcome)


class FairExecutor:
    """Runs work on threads, one piece of each requester in turn; a bounded number of pieces is taken on.

    Where every place is taken, the newest piece of the requester that has most of them makes room for one that has
    fewer. So a requester alone may have all places, and loses only those that others need. One that comes waits no
    longer than until each of the others had one piece done.

    A requester is whoever strangers' work is counted by: a peer (``peer_of``), or an account.
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
        self._lock: Final = Lock()
        """Held for the shortest of times, by the loop's thread and ours: whatever is below."""
        self._running = 0
        self._lines: OrderedDict[str, OrderedDict[_Job, None]] = OrderedDict()
        """What waits, by requester: oldest first in a line, and the line whose turn is next first."""

    @property
    def jobs(self) -> int:
        """How many pieces run or wait."""
        with self._lock:
            return self._taken()

    async def run(self, requester: str, work: Callable[[], ResultT]) -> ResultT:
        """Does a piece of work for a requester, and returns or raises what it does.

        A caller that gives up takes back what still waits. What runs keeps its thread and its place until it is done:
        else callers that give up one after the other would pile up more than there are places.

        Raises:
            LineFullError: there was no place for it, or it had to give its place to a requester that has fewer.
        """
        job = _Job(requester, work, asyncio.get_running_loop().create_future())
        displaced = self._add(job)
        if displaced is not None:
            displaced.refuse()
        try:
            outcome: ResultT = await job.outcome
        finally:
            with self._lock:
                self._remove(job)
        return outcome

    def close(self) -> None:
        """Drops what waits and lets what runs end by itself."""
        with self._lock:
            waiting = [job for line in self._lines.values() for job in line]
            self._lines.clear()
        for job in waiting:
            job.outcome.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _add(self, job: _Job) -> _Job | None:
        """Gives a job to an idle thread, else a place in its line; the job whose place that was, if it was one's."""
        displaced = None
        with self._lock:
            if self._running < self._threads:  # then nothing waits
                self._pool.submit(self._work, job)
                self._running += 1
                return None
            if self._taken() >= self._places:
                displaced = self._displaced_by(job.requester)
                self._remove(displaced)
            self._lines.setdefault(job.requester, OrderedDict())[job] = None
        return displaced

    def _work(self, first: _Job) -> None:
        """What a thread does: one job after the other, without waiting for the event loop, until none is left."""
        job: _Job | None = first
        while job is not None:
            job.run()
            job = self._next()

    def _next(self) -> _Job | None:
        with self._lock:
            if not self._lines:
                self._running -= 1
                return None
            requester, line = next(iter(self._lines.items()))
            job = next(iter(line))
            self._remove(job)
            if requester in self._lines:
                self._lines.move_to_end(requester)
            return job

    def _displaced_by(self, requester: str) -> _Job:
        """The newest job of the longest line, where that stays at least as long as the one of this requester becomes."""
        longest: OrderedDict[_Job, None] = max(self._lines.values(), key=len, default=OrderedDict())
        if len(longest) <= len(self._lines.get(requester, ())) + 1:
            raise LineFullError
        return next(reversed(longest))

    def _remove(self, job: _Job) -> None:
        line = self._lines.get(job.requester)
        if line is not None:
            line.pop(job, None)
            if not line:
                del self._lines[job.requester]

    def _taken(self) -> int:
        return self._running + sum(map(len, self._lines.values()))
