"""What a consumer has in hand: slots bound it, young batches let the next one grow, slow ones hold up nobody."""

from __future__ import annotations

import asyncio

import pytest

from shared.bus.dispatch import FRESH_SECONDS, ConcurrencyLimiter


async def test_room_is_what_is_free() -> None:
    """Nothing is read that would wait in here."""
    limiter = ConcurrencyLimiter(slots=3, batches=0)
    limiter.take([b"1", b"2"])
    assert await limiter.room() == 1
    limiter.take([b"3"])
    waiting = asyncio.create_task(limiter.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    limiter.drop([b"1"])
    assert await waiting == 1


async def test_two_young_batches_let_the_next_one_grow() -> None:
    """Until one of them has ended."""
    limiter = ConcurrencyLimiter(slots=100, batches=2)
    first, _second = limiter.begin_batch(), limiter.begin_batch()
    waiting = asyncio.create_task(limiter.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    limiter.end_batch(first)
    async with asyncio.timeout(FRESH_SECONDS / 2):
        assert await waiting == 100


async def test_slow_batches_hold_up_nobody() -> None:
    """After a moment they do not count any more."""
    limiter = ConcurrencyLimiter(slots=100, batches=2)
    for _ in range(2):
        limiter.begin_batch()
    async with asyncio.timeout(FRESH_SECONDS * 20):
        while not await limiter.room():
            pass


@pytest.mark.parametrize("batches", [0, 2])
async def test_a_poke_ends_the_wait(batches: int) -> None:
    """A consumer that stops does not wait for room."""
    limiter = ConcurrencyLimiter(slots=0, batches=batches)
    waiting = asyncio.create_task(limiter.room())
    await asyncio.sleep(0)
    limiter.poke()
    assert await waiting == 0


async def test_what_is_held_for_long_is_known() -> None:
    """It needs heartbeats."""
    limiter = ConcurrencyLimiter(slots=9, batches=0)
    limiter.take([b"1"])
    now = asyncio.get_running_loop().time()
    assert limiter.held_since(now - 1) == []
    assert limiter.held_since(now) == [b"1"]
