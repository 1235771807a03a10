"""Journeys: the files of ours that one warm request passes through, which is what a newcomer has to read."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import httpx

from tests.harness.processes import REPOSITORY

WARMING: Final = 5
AFTERWARDS: Final = frozenset({"outbox relay", "revocation tail"})
"""Tasks of a service that carry on with what a request did while it is answered already: no answer waits for them."""
HOUSEKEEPING: Final = frozenset(
    [
        "delayed",
        "recovery",
        "suspects",
        "janitor",
        "purge",
        "time",
        "outbox",
        "log",
        "use",
        "webhooks",
        "listeners",
        "expiries",
    ]
)
"""The last words of the names of tasks that run now and then, whatever is asked."""

Ask = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Journey:
    """The files whose functions were called, relative to the root of the source tree, in alphabetical order."""

    services: tuple[str, ...]
    shared: tuple[str, ...]
    afterwards: tuple[str, ...] = ()
    """Files that tasks of ``AFTERWARDS`` alone passed through meanwhile."""

    def check(self, services: int, shared: int) -> None:
        """Fails with the lists where there are more than so many files."""
        counted = (
            f"{len(self.services)} of {services} files in services, {len(self.shared)} of {shared} in shared"
        )
        assert len(self.services) <= services, "\n".join((counted, *self.services, *self.shared))
        assert len(self.shared) <= shared, "\n".join((counted, *self.services, *self.shared))


async def journey_of(status: int, asks: Sequence[Ask]) -> Journey:
    """The files that every request but the first ones passed through; each is answered with ``status``.

    The first ones warm up. The services run in this process, and so does their housekeeping, which is left out by its name
    or falls into some of the requests only.
    """
    for ask in asks[:WARMING]:
        assert (await ask()).status_code == status
    measured = [await _files_of(status, ask) for ask in asks[WARMING:]]
    # Of what the loop itself calls, and no task, part is what those tasks have asked it for.
    carried_on = set[str]().union(*(each.later for each in measured))
    seen = set.intersection(*(each.awaited | (each.of_no_task - carried_on) for each in measured))
    afterwards = set.intersection(*(each.later for each in measured)) - seen
    return Journey(
        _below("services", seen),
        _below("shared", seen),
        (*_below("services", afterwards), *_below("shared", afterwards)),
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """Where functions were called until an answer was there."""

    awaited: set[str] = field(default_factory=set)
    """By tasks that it may wait for."""
    later: set[str] = field(default_factory=set)
    """By those that carry on with it."""
    of_no_task: set[str] = field(default_factory=set)


async def _files_of(status: int, ask: Ask) -> _Files:
    files = _Files()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            task = asyncio.current_task()
            name = task.get_name() if task else ""
            if task is None:
                files.of_no_task.add(frame.f_code.co_filename)
            elif name.rpartition(" ")[2] not in HOUSEKEEPING:
                (files.later if name in AFTERWARDS else files.awaited).add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        answer = await ask()
    finally:
        sys.setprofile(None)
    assert answer.status_code == status, answer.text
    return files


def _below(folder: str, names: set[str]) -> tuple[str, ...]:
    root = f"{REPOSITORY}/{folder}/"
    return tuple(sorted(str(Path(name).relative_to(REPOSITORY)) for name in names if name.startswith(root)))
