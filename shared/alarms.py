"""Time limits by the thousand: most are never reached, so one timer of the event loop rings them all, a little late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

TICK_SECONDS: Final = 0.02
"""An alarm rings so much late at most, where the loop is not late itself."""


class Alarm:
    """Something that happens later unless it is cancelled."""

    __slots__ = ("_bucket", "_ring")

    def __init__(self, bucket: dict[Alarm, None], ring: Callable[[], object]) -> None:
        self._bucket = bucket
        self._ring = ring
        bucket[self] = None

    def cancel(self) -> None:
        """It does not happen, unless it has; calling twice changes nothing."""
        self._bucket.pop(self, None)

    def ring(self) -> None:
        """It happens now."""
        self._ring()


class Alarms:
    """The alarms of one event loop. Setting and cancelling one costs a tenth of what a timer of the loop does."""

    def __init__(self) -> None:
        """None is set; the loop is that of the first one that is."""
        self._buckets: dict[int, dict[Alarm, None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticking = False

    def set(self, seconds: float, ring: Callable[[], object]) -> Alarm:
        """``ring`` is called in ``seconds``, not before, unless the alarm is cancelled; it must not raise."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        due = int((loop.time() + seconds) / TICK_SECONDS) + 1
        bucket = self._buckets.get(due)
        if bucket is None:
            if not self._ticking:
                self._ticking = True
                loop.call_later(TICK_SECONDS, self._tick, loop)
            bucket = self._buckets[due] = {}
        return Alarm(bucket, ring)

    def limit(self, seconds: float) -> Limit:
        """For ``with``, as ``asyncio.timeout``: what takes longer is cancelled and raises ``TimeoutError``."""
        return Limit(self, seconds)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = int(loop.time() / TICK_SECONDS)
        for due in sorted(due for due in self._buckets if due <= now):
            bucket = self._buckets.pop(due)
            while bucket:
                alarm, _ = bucket.popitem()
                alarm.ring()
        self._ticking = bool(self._buckets)
        if self._ticking:
            loop.call_later(TICK_SECONDS, self._tick, loop)


class Limit:
    """What a task may take for a part of its work."""

    __slots__ = ("_alarm", "_alarms", "_cancelling", "_over", "_seconds", "_task")

    def __init__(self, alarms: Alarms, seconds: float) -> None:
        self._alarms = alarms
        self._seconds = seconds
        self._over = False

    def __enter__(self) -> None:
        """The time begins."""
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._alarm = self._alarms.set(self._seconds, self._end)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A cancellation of ours becomes ``TimeoutError``; one that somebody else asked for too goes on."""
        alarm, task = self._alarm, self._task
        # The alarm knows its limit: left in a circle they would keep the task, and a key in its answer, until the
        # garbage collector comes by.
        del self._alarm, self._task
        alarm.cancel()
        if self._over and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _end(self) -> None:
        self._over = True
        self._task.cancel()
