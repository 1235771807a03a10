"""A parent and its children: how they end with it, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(stop: int) -> Callable[[], None] | None:
    """What a child of this process calls before it becomes a program: on Linux it gets ``stop`` when we are gone.

    Elsewhere there is no such call: the next start stops the orphan.
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        signal.signal(stop, signal.SIG_DFL)  # our own handler would swallow it, until the program begins
        libc.prctl(_PR_SET_PDEATHSIG, stop)
        if os.getppid() != parent:  # gone before we asked: nobody will tell
            os.kill(os.getpid(), stop)

    return ask
