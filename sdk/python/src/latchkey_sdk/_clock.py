"""The clock by which everything here is aged: it never goes back, and it goes on while the machine sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

Clock = Callable[[], float]
"""Seconds since some moment in the past."""


def _that_counts_sleep() -> Clock:
    """A suspended machine hears nothing while it sleeps; ``time.monotonic`` stands still meanwhile on Linux and macOS."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # Linux; macOS, where it counts sleep
        clock = getattr(time, name, None)
        if clock is not None:
            return partial(time.clock_gettime, clock)
    return time.monotonic


now: Final = _that_counts_sleep()
"""The present moment."""
