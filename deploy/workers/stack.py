"""Where a worker is that hangs: it writes its calls into a file when its supervisor asks, and stays as it is.

The interpreter's own signal handler does it, which works where no Python code gets its turn: in a loop without end, in a
regular expression, in a system call. A stopped process answers nothing.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_ANSWER_SECONDS: Final = 0.2
_MOST_CALLS: Final = 8
_CALL: Final = re.compile(r'  File "(.*)", line (\d+) in (\S+)')


def write_stack_on_request(folder: Path) -> None:
    """Lets this process answer ``read_stack`` for the rest of its life."""
    file = _file(os.getpid(), folder).open("w", encoding="utf-8")
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=False)


def read_stack(pid: int, folder: Path) -> Sequence[str]:
    """The calls that a worker is in, as ``file:line function``, the innermost first and at most eight.

    Takes a fifth of a second. Nothing where it does not answer.
    """
    file = _file(pid, folder)
    with suppress(OSError):
        os.kill(pid, signal.SIGUSR1)
        time.sleep(_ANSWER_SECONDS)
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        calls = [call for line in lines if (call := _CALL.fullmatch(line))]
        return [f"{call[1]}:{call[2]} {call[3]}" for call in calls[:_MOST_CALLS]]
    return []


def _file(pid: int, folder: Path) -> Path:
    return folder / f"{pid}.stack"
