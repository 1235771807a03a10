"""Moments at which a test makes this process die, stall, hang or fail; asleep unless a test wakes them, absent in a release.

``LATCHKEY_FAILPOINTS`` holds ``name=action[@hit]``, separated by ``;``:

- ``bus.consumer.handled=kill`` ends the process as ``kill -9`` would,
- ``bus.outbox.appended=pause:1.5`` waits for so many seconds, while other requests go on,
- ``key_issuer.verify.read=hang`` computes for ever and never gives the event loop back,
- ``key_issuer.issue.committed=raise`` raises ``FailpointError``, ``raise:unavailable`` raises ``StoreUnavailable``,
- ``…@3`` acts on the third hit only, ``…@3+`` from the third on; without it every hit acts.

They work from a source tree only: an installed release or an image has no ``tests`` directory beside ``shared``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import structlog

from shared.errors import StoreUnavailable

VARIABLE: Final = "LATCHKEY_FAILPOINTS"
_ACTIONS: Final = frozenset({"kill", "hang", "pause", "raise"})

_log = structlog.get_logger("latchkey.failpoints")


class FailpointError(Exception):
    """The failure that a test has ordered."""


@dataclass(slots=True)
class Failpoint:
    """What happens at one moment, and how often the moment came."""

    action: str
    argument: str = ""
    hit: int = 0
    onwards: bool = True
    hits: int = 0

    def acts(self) -> bool:
        """Counts a hit; whether it is one that acts."""
        self.hits += 1
        return self.hits == self.hit or (self.onwards and self.hits > self.hit)


def parse_failpoints(text: str) -> dict[str, Failpoint]:
    """Reads the variable's syntax. Raises ``ValueError`` for anything else."""
    points: dict[str, Failpoint] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, equals, rest = part.partition("=")
        rest, _, hit = rest.partition("@")
        action, _, argument = rest.partition(":")
        if not equals or action not in _ACTIONS or (action == "pause" and float(argument) < 0):
            raise ValueError(
                f"{VARIABLE}: {part!r} is not name=kill|hang|pause:SECONDS|raise[:unavailable][@HIT[+]]"
            )
        points[name] = Failpoint(
            action, argument, int(hit.rstrip("+") or 0), onwards=not hit or hit.endswith("+")
        )
    return points


def arm(
    environ: Mapping[str, str] = os.environ, *, source_tree: Path | None = None
) -> Mapping[str, Failpoint]:
    """Reads the failpoints of an environment; none in a release, whatever the environment says."""
    root = Path(__file__).resolve().parent.parent if source_tree is None else source_tree
    text = environ.get(VARIABLE, "")
    if not text or not (root / "tests").is_dir():
        return {}
    points = parse_failpoints(text)
    _log.warning("failpoints_armed", names=sorted(points))
    return points


ARMED = VARIABLE in os.environ
"""Asked before every moment: what no test has armed costs no call, and none reads of it who follows a request."""
_points: Mapping[str, Failpoint] | None = None


async def failpoint(name: str) -> None:
    """A moment inside a coroutine. Does nothing unless a test has armed it."""
    global _points  # noqa: PLW0603 - read once from the environment, at the first moment that asks
    if _points is None:
        _points = arm()
    point = _points.get(name) if _points else None
    if point is None or not point.acts():
        return
    if point.action == "pause":
        await asyncio.sleep(float(point.argument))
        return
    if point.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if point.action == "hang":
        _hang()
    if point.argument == "unavailable":
        raise StoreUnavailable("failpoint", name)
    raise FailpointError(name)


def _hang() -> NoReturn:
    while True:
        pass
