"""Failpoints: moments that a test can make fatal or slow, which killing from outside hits too rarely.

Off unless ``LATCHKEY_FAILPOINTS`` names them (``name=kill``, ``name=pause:2.5``, ``name=raise``, each with an optional
``@N`` for the N-th time only, separated by ``;``), and then only together with ``LATCHKEY_TESTING=1``, which no release
configuration sets.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import Final


class FailpointError(RuntimeError):
    """Raised by a failpoint whose action is ``raise``."""


@dataclass(slots=True)
class _Failpoint:
    action: str
    seconds: float
    only: int | None
    passed: int = 0


def _parse(text: str) -> dict[str, _Failpoint]:
    found = {}
    for part in filter(None, text.split(";")):
        name, _, action = part.partition("=")
        action, _, only = action.partition("@")
        action, _, seconds = action.partition(":")
        found[name] = _Failpoint(action, float(seconds or 0), int(only) if only else None)
    return found


_ACTIVE: Final = (
    _parse(os.environ.get("LATCHKEY_FAILPOINTS", "")) if os.environ.get("LATCHKEY_TESTING") == "1" else {}
)


async def failpoint(name: str) -> None:
    """Does what the environment asks for at this moment; nothing at all in a normal process."""
    if not _ACTIVE or (found := _ACTIVE.get(name)) is None:
        return
    found.passed += 1
    if found.only is not None and found.passed != found.only:
        return
    if found.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif found.action == "pause":
        await asyncio.sleep(found.seconds)
    elif found.action == "raise":
        raise FailpointError(name)
