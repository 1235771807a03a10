"""Alarms ring once, never early; a limit behaves as `asyncio.timeout` does."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import ExitStack
from functools import partial

import pytest

from shared.alarms import Alarm, Alarms


async def test_they_ring_in_their_order_and_never_early() -> None:
    """Also those that are set while others ring."""
    alarms, loop = Alarms(), asyncio.get_running_loop()
    began = loop.time()
    rung: list[tuple[str, float]] = []
    done = asyncio.Event()

    def ring(name: str) -> None:
        rung.append((name, loop.time() - began))
        if name == "first":
            alarms.set(0.2, lambda: ring("last"))
        if name == "last":
            done.set()

    alarms.set(0.1, lambda: ring("second"))
    alarms.set(0.03, lambda: ring("first"))
    await asyncio.wait_for(done.wait(), 10)
    assert [name for name, _ in rung] == ["first", "second", "last"]
    assert all(seconds >= due for (_, seconds), due in zip(rung, (0.03, 0.1, 0.23), strict=True))


async def test_a_cancelled_one_does_not_ring() -> None:
    """Not even when another of the same moment cancels it; and cancelling what has rung changes nothing."""
    alarms, rung = Alarms(), asyncio.Event()
    calls: list[int] = []
    pair: list[Alarm] = []

    def ring(number: int) -> None:
        calls.append(number)
        for alarm in pair:
            alarm.cancel()

    pair += [alarms.set(0.01, partial(ring, number)) for number in (1, 2)]
    alarms.set(0.01, lambda: calls.append(3)).cancel()
    alarms.set(0.05, rung.set)
    await asyncio.wait_for(rung.wait(), 10)
    assert calls in ([1], [2])
    ring(0)


async def test_they_rest_when_none_is_set_and_start_again() -> None:
    """A timer runs only while something may ring."""
    alarms = Alarms()
    for _ in range(3):
        rung = asyncio.Event()
        alarms.set(0.01, rung.set)
        await asyncio.wait_for(rung.wait(), 10)


async def test_a_limit_ends_what_takes_too_long() -> None:
    """With `TimeoutError`; what was in time is left alone, and the task is not left cancelled."""
    alarms = Alarms()
    with pytest.raises(TimeoutError), alarms.limit(0.03):
        await asyncio.sleep(60)
    with alarms.limit(60):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_limit_keeps_nothing_that_is_over() -> None:
    """What a task held is gone with it, before any garbage collector looks: it may have been a key."""

    class Answer:
        """Something to watch."""

    alarms = Alarms()
    held: list[weakref.ref[Answer]] = []

    async def work() -> Answer:
        with alarms.limit(60):
            answer = Answer()
            held.append(weakref.ref(answer))
            await asyncio.sleep(0)
            return answer

    gc.disable()
    try:
        await asyncio.create_task(work())
        await asyncio.sleep(0)
        assert [reference() for reference in held] == [None]
    finally:
        gc.enable()


async def test_an_error_inside_a_limit_is_its_own() -> None:
    """It passes as it is."""
    with pytest.raises(KeyError), Alarms().limit(60):
        raise KeyError


async def test_of_two_limits_the_outer_one_ends_both() -> None:
    """The inner one lets its cancellation pass."""
    alarms = Alarms()
    inner: list[type[BaseException] | None] = []

    def note(kind: type[BaseException] | None, *_: object) -> None:
        inner.append(kind)

    async def work() -> None:
        with alarms.limit(0.03), ExitStack() as stack:
            stack.push(note)
            with alarms.limit(60):
                await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await work()
    assert inner == [asyncio.CancelledError]


async def test_who_is_cancelled_by_others_stays_cancelled() -> None:
    """Also when the time is up in the same moment."""
    alarms = Alarms()

    async def work() -> None:
        with alarms.limit(0.0):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
