"""Threads that are shared out among requesters."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

import pytest

from shared.fair_executor import FairExecutor, LineFullError

THREADS: Final = 2
PLACES: Final = 12


class Held:
    """An executor whose threads are busy until the gate opens; what was done from then on, in order."""

    def __init__(self) -> None:
        """Two pieces of a peer that is called ``-`` hold both threads."""
        self.executor = FairExecutor(THREADS, PLACES, "held")
        self.gate = threading.Event()
        self.done: list[str] = []
        self.holding = [self.ask("-") for _ in range(THREADS)]

    def ask(self, peer: str) -> asyncio.Task[None]:
        """Another piece of work of a peer."""
        return asyncio.create_task(self.executor.run(peer, lambda: self._work(peer)))

    async def asked(self, *peers: str) -> list[asyncio.Task[None]]:
        """A piece for each of the peers, in this order; all have a place or were refused."""
        tasks = [self.ask(peer) for peer in peers]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return tasks

    async def open(self) -> None:
        """Lets everything be done."""
        self.gate.set()
        async with asyncio.timeout(30):
            while self.executor.jobs:
                await asyncio.sleep(0.001)

    def _work(self, peer: str) -> None:
        assert self.gate.wait(30)
        self.done.append(peer)


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    """One of the test's own."""
    held = Held()
    await asyncio.sleep(0)
    yield held
    await held.open()
    await asyncio.gather(*held.holding, return_exceptions=True)
    held.executor.close()


async def test_peers_take_turns(held: Held) -> None:
    """Whoever comes waits for one piece of each other peer, not for all that are there."""
    await held.asked(*"aaaaaa", *"bb", "c")
    await held.open()
    order = [peer for peer in held.done if peer != "-"]
    # Two threads may finish in either order, so a piece may be one place off.
    assert order.index("b") <= 2
    assert order.index("c") <= 3
    assert sorted(order[5:]) == ["a"] * 4


async def test_a_peer_alone_may_have_every_place(held: Held) -> None:
    """And is refused beyond them."""
    tasks = await held.asked(*"a" * (PLACES - THREADS))
    assert held.executor.jobs == PLACES
    [refused] = await held.asked("a")
    with pytest.raises(LineFullError):
        await refused
    await held.open()
    await asyncio.gather(*tasks)
    assert Counter(held.done)["a"] == PLACES - THREADS


async def test_ac_39_who_has_most_makes_room(held: Held) -> None:
    """Its newest piece is refused, for as long as it has more than whoever comes would have."""
    hostile = await held.asked(*"a" * (PLACES - THREADS))
    others = await held.asked(*"bcd")
    assert [task.done() for task in hostile] == [False] * 7 + [True] * 3
    for task in hostile[7:]:
        assert isinstance(task.exception(), LineFullError)
    again = await held.asked(*"bbbbbb")
    assert [task.done() for task in again] == [False] * 3 + [True] * 3
    await held.open()
    assert Counter(held.done) == {"-": 2, "a": 4, "b": 4, "c": 1, "d": 1}
    await asyncio.gather(*others)


async def test_ac_39_several_that_want_everything_share_it(held: Held) -> None:
    """Three peers without end have a third each, and who comes has a place all the same."""
    flood = await held.asked(*"abcabcabcabcabcabcabcabc")
    [newcomer] = await held.asked("d")
    for task in await held.asked(*"aabbcc"):
        assert isinstance(task.exception(), LineFullError)
    await held.open()
    await asyncio.gather(newcomer, *flood, return_exceptions=True)
    assert newcomer.exception() is None
    shares = Counter(held.done)
    assert shares["a"] + shares["b"] + shares["c"] == PLACES - THREADS - 1
    assert {shares["a"], shares["b"], shares["c"]} == {3}
    assert sum(isinstance(task.exception(), LineFullError) for task in flood) == len(flood) - 9


async def test_only_what_waits_can_be_taken_back(held: Held) -> None:
    """Callers that give up free the place of what waits at once, and of what runs when it is done."""
    tasks = await held.asked(*"a" * (PLACES - THREADS))
    for task in (*held.holding, *tasks[:4]):
        task.cancel()
    await asyncio.gather(*held.holding, *tasks[:4], return_exceptions=True)
    assert held.executor.jobs == PLACES - 4
    await held.open()
    await asyncio.gather(*tasks[4:])
    assert Counter(held.done) == {"-": THREADS, "a": PLACES - THREADS - 4}


async def test_an_error_of_the_work_is_its_callers(held: Held) -> None:
    """It is raised where the work was asked for, and the thread goes on."""

    def fail() -> None:
        raise ZeroDivisionError

    failing = asyncio.create_task(held.executor.run("a", fail))
    [after] = await held.asked("a")
    await held.open()
    with pytest.raises(ZeroDivisionError):
        await failing
    await after


async def test_closing_drops_what_waits(held: Held) -> None:
    """Who waits is sent away; what runs ends by itself."""
    tasks = await held.asked(*"ab")
    held.executor.close()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    await held.open()
    assert held.done == ["-"] * THREADS
