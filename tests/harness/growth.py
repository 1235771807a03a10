"""How the work of something grows with the size of what it is given: a ratio of processor time, never a time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Final, TypeVar

FACTOR: Final = 4
"""The size is doubled twice: linear work then takes 4 times as long, quadratic work 16 times."""
MOST: Final = 8.0
"""Half way between the two, by factors."""
NOISE_SECONDS: Final = 0.003
"""What a request costs anyway: growth of less than that at the largest admitted size harms nobody."""
_TRIES: Final = 4

GivenT = TypeVar("GivenT")


def grows_too_fast(
    make: Callable[[int], GivenT], work: Callable[[GivenT], object], largest: int
) -> str | None:
    """What the work took where it grows faster than the size, else ``None``; noise has several tries to pass.

    ``make`` makes something to work on from a size in its own measure, of which the server admits ``largest``.
    """
    large = make(largest)
    after = _seconds(work, large)
    if after <= NOISE_SECONDS:
        return None
    small, before = make(largest // FACTOR), float("inf")
    for _ in range(_TRIES):
        before = min(before, _seconds(work, small))
        if after <= MOST * before + NOISE_SECONDS:
            return None
        after = min(after, _seconds(work, large))
    return f"{FACTOR} times the size cost {after / before:.1f} times the work ({after * 1000:.1f} ms)"


def _seconds(work: Callable[[GivenT], object], given: GivenT) -> float:
    """Processor time of this thread; nothing of other processes counts."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        begun = time.thread_time()
        work(given)
        return time.thread_time() - begun
    finally:
        if was_enabled:
            gc.enable()
