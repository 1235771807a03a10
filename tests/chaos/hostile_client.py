"""The nemesis that only sends requests: one client in a process of its own, as fast as it can, from one address.

``python -m tests.chaos.hostile_client`` reads its plan (JSON) from stdin and writes what it was answered to stdout.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Final

from tests.chaos.attacks import CONNECTIONS, FEWEST_CONNECTIONS, Means, shots_of
from tests.chaos.wire import Wire
from tests.harness.processes import REPOSITORY

PEER: Final = "127.0.0.1"
_GRACE_SECONDS: Final = 60.0
_NICENESS: Final = 5
"""Hostile clients sit on other machines: this one is to compete for answers, not so much for processors."""
_BEGUN: Final = b"begun\n"
_BREATH_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, where, and for how long."""

    attack: str
    urls: Mapping[str, str]
    seconds: float
    means: Means


@dataclass(slots=True)
class Fusillade:
    """What the hostile client was answered: by service and status, ``lost`` where a connection broke."""

    answers: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """In the order of the alphabet."""
        return ", ".join(f"{answer}: {count}" for answer, count in sorted(self.answers.items()))


class HostileClient:
    """A process that attacks; ``fusillade`` is complete once it has ended."""

    def __init__(self, process: Process) -> None:
        """Made by ``raging``."""
        self._process = process
        self.fusillade = Fusillade()

    async def ended(self) -> None:
        """Waits for its last answers."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_GRACE_SECONDS):
            answers = await self._process.stdout.read()
            await self._process.wait()
        assert self._process.returncode == 0, f"the hostile client ended with {self._process.returncode}"
        self.fusillade.answers.update(json.loads(answers))


@asynccontextmanager
async def raging(plan: Plan) -> AsyncIterator[HostileClient]:
    """Attacks from the beginning of the block on for the plan's seconds, and is gone at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.hostile_client"),
        cwd=REPOSITORY,
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(plan)).encode())
    process.stdin.close()
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_GRACE_SECONDS):
            assert await process.stdout.readline() == _BEGUN
        yield HostileClient(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def attack(plan: Plan, shots: Mapping[str, Sequence[bytes]]) -> Fusillade:
    """Sends the requests in a circle on many connections until the time is up."""
    fusillade = Fusillade()
    deadline = time.monotonic() + plan.seconds
    with suppress(TimeoutError):
        async with asyncio.timeout(plan.seconds), asyncio.TaskGroup() as group:
            for service, requests in shots.items():
                connections = CONNECTIONS.get(plan.attack, FEWEST_CONNECTIONS)
                for number in range(connections):
                    at = number * len(requests) // connections
                    circle = itertools.cycle([*requests[at:], *requests[:at]])
                    wire = Wire(plan.urls[service], PEER)
                    group.create_task(_fire(service, wire, circle, deadline, fusillade.answers))
    return fusillade


async def _fire(
    service: str, wire: Wire, requests: Iterator[bytes], deadline: float, answers: Counter[str]
) -> None:
    try:
        while time.monotonic() < deadline:
            try:
                answers[f"{service} {await wire.send(next(requests))}"] += 1
            except (OSError, EOFError):
                answers[f"{service} lost"] += 1
                await asyncio.sleep(_BREATH_SECONDS)
    finally:
        wire.close()


def _main() -> None:
    os.nice(_NICENESS)
    told = json.load(sys.stdin)
    plan = Plan(**{**told, "means": Means(**told["means"])})
    shots = shots_of(plan.attack, plan.means)
    sys.stdout.buffer.write(_BEGUN)
    sys.stdout.flush()
    json.dump(dict(asyncio.run(attack(plan, shots)).answers), sys.stdout)


if __name__ == "__main__":
    _main()
