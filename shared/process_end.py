"""How this process ends: by a signal, or loudly because a background task died of a bug."""

from __future__ import annotations

import os
import signal

_failures: list[str] = []


def end_process(reason: str) -> None:
    """Ends this process as SIGTERM does, cleanly, but with exit code 1."""
    _failures.append(reason)
    os.kill(os.getpid(), signal.SIGTERM)


def exit_code() -> int:
    """0, or 1 where ``end_process`` was called."""
    return 1 if _failures else 0
