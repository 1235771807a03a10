"""One at a time for each key."""

from __future__ import annotations

import asyncio

import pytest

from services.auth_api.accounts.keyed_lock import MOST_WAITING, KeyedLock
from shared.errors import StoreUnavailable


async def test_turns_of_one_key_follow_each_other() -> None:
    """Two never overlap; another key does not wait."""
    lock, inside, most = KeyedLock(), 0, 0

    async def work(key: str) -> None:
        nonlocal inside, most
        async with lock.acquire(key):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work("a") for _ in range(20)))
    assert most == 1
    await asyncio.gather(work("a"), work("b"))
    assert most == 2
    assert lock._queues == {}


async def test_ac_39_too_many_in_line_are_sent_away() -> None:
    """The queue of a key is bounded, and who gives up leaves it."""
    lock, gate = KeyedLock(), asyncio.Event()

    async def work() -> None:
        async with lock.acquire("a"):
            await gate.wait()

    line = [asyncio.create_task(work()) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await work()
    line[-1].cancel()
    await asyncio.gather(line[-1], return_exceptions=True)
    another = asyncio.create_task(work())
    gate.set()
    await asyncio.gather(*line[:-1], another)
    assert lock._queues == {}
