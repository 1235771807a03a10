"""Journeys: the files of ours that one warm request passes through, which is what a newcomer has to read."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import httpx

from tests.harness.processes import REPOSITORY

MEASURED: Final = 5

Ask = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Journey:
    """The files whose functions were called, relative to the root of the source tree, in alphabetical order."""

    services: tuple[str, ...]
    shared: tuple[str, ...]

    def check(self, services: int, shared: int) -> None:
        """Fails with the lists where there are more than so many files."""
        counted = (
            f"{len(self.services)} of {services} files in services, {len(self.shared)} of {shared} in shared"
        )
        assert len(self.services) <= services, "\n".join((counted, *self.services, *self.shared))
        assert len(self.shared) <= shared, "\n".join((counted, *self.services, *self.shared))


async def shortest_journey(status: int, asks: Sequence[Ask]) -> Journey:
    """The journey through the fewest files among the last requests, each of which is answered with ``status``.

    The first ones warm up. The services run in this process, and so does their housekeeping: several requests are
    measured, so that one falls between two of its turns.
    """
    for ask in asks[:-MEASURED]:
        assert (await ask()).status_code == status
    journeys = [await _journey(status, ask) for ask in asks[-MEASURED:]]
    return min(journeys, key=lambda journey: len(journey.services) + len(journey.shared))


async def _journey(status: int, ask: Ask) -> Journey:
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            seen.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        answer = await ask()
    finally:
        sys.setprofile(None)
    assert answer.status_code == status, answer.text
    return Journey(_below("services", seen), _below("shared", seen))


def _below(folder: str, names: set[str]) -> tuple[str, ...]:
    root = f"{REPOSITORY}/{folder}/"
    return tuple(sorted(str(Path(name).relative_to(REPOSITORY)) for name in names if name.startswith(root)))
