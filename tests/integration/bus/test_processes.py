"""Processes that are killed, stopped or crash at the worst moments: nothing is lost, every effect happens once."""

from __future__ import annotations

import asyncio
import signal

import pytest

from shared.bus import Bus, names
from shared.bus.dead_letters import dead_letters, drop_dead_letter
from tests.integration.bus.conftest import (
    GROUP,
    STREAM,
    Valkey,
    consuming,
    echoing,
    is_quiet,
    open_bus,
    process,
    until,
)
from tests.integration.bus.messages import Echo
from tests.integration.bus.worker import BEGUN, EFFECTS, REQUESTS


async def begun(bus: Bus, text: str) -> int:
    """How often work on a message was begun."""
    return int(await bus.redis.execute("HGET", BEGUN, text) or 0)


async def effects(bus: Bus) -> set[str]:
    """What was done."""
    return {text.decode() for text in await bus.redis.execute("SMEMBERS", EFFECTS)}


@pytest.mark.parametrize("role", ["work", "batch"])
@pytest.mark.parametrize(
    ("moment", "times"), [("bus.after_read_before_handler", 1), ("bus.after_handler_before_ack", 2)]
)
async def test_a_worker_killed_at_a_moment_of_its_own_loses_and_doubles_nothing(
    valkey: Valkey, role: str, moment: str, times: int
) -> None:
    """Between reading and work, and between work and acknowledgement: the next worker does it, the requester hears."""
    async with open_bus(valkey) as bus:
        waiting = asyncio.create_task(bus.request(Echo(text="once"), timeout=60))
        with process(valkey, role, failpoints=f"{moment}=kill") as victim:
            await until(lambda: victim.poll() is not None, 30)
            assert victim.returncode == -signal.SIGKILL
        with process(valkey, role):
            assert (await waiting).text == "once"
            await until(lambda: is_quiet(bus))
        assert await effects(bus) == {"once"}
        assert await begun(bus, "once") == times


@pytest.mark.slow
async def test_a_message_that_crashes_its_consumers_is_buried_alone(valkey: Valkey) -> None:
    """What stood beside it in its batch is done, and not suspected for ever."""
    async with open_bus(valkey) as bus:
        for number in range(6):
            await bus.send(Echo(text=f"good{number}"))
        await bus.send(Echo(text="boom"))
        for number in range(6, 12):
            await bus.send(Echo(text=f"good{number}"))
        good = {f"good{number}" for number in range(12)}

        async def is_over() -> bool:
            return bool(await dead_letters(bus.redis)) and await effects(bus) == good

        async with asyncio.timeout(100):
            while not await is_over():
                with process(valkey, "batch", idle_ms=200) as worker:
                    await until(lambda worker=worker: _ended_or(worker.poll(), is_over), 30)  # type: ignore[misc]
        (letter,) = await dead_letters(bus.redis)
        assert letter.reason == "crashed its consumer 5 times"
        assert b'{"text":"boom"}' in letter.fields
        assert await begun(bus, "boom") == 5
        assert await drop_dead_letter(bus.redis, letter)
        with process(valkey, "batch", idle_ms=200):
            await until(lambda: is_quiet(bus))


async def _ended_or(returncode: int | None, is_over: object) -> bool:
    assert callable(is_over)
    return returncode is not None or await is_over()


async def test_a_zombie_that_wakes_after_its_entries_were_taken_over_does_no_harm(valkey: Valkey) -> None:
    """Both finish, the effect is one, nothing stays pending, and the zombie works on."""
    async with open_bus(valkey) as bus:
        with process(valkey, "work") as zombie:
            waiting = asyncio.create_task(bus.request(Echo(text="slow"), timeout=60))
            await until(lambda: _was_begun(bus, "slow", 1), 30)
            zombie.send_signal(signal.SIGSTOP)
            with process(valkey, "work"):
                await until(lambda: _was_begun(bus, "slow", 2), 30)
                assert (await waiting).text == "slow"
            zombie.send_signal(signal.SIGCONT)
            await until(lambda: is_quiet(bus))
            assert (await bus.request(Echo(text="awake"), timeout=30)).text == "awake"
            await until(lambda: is_quiet(bus))
        assert await effects(bus) == {"slow", "awake"}
        assert await dead_letters(bus.redis) == []


async def _was_begun(bus: Bus, text: str, times: int) -> bool:
    return await begun(bus, text) >= times


async def test_a_requester_killed_with_a_hundred_in_flight_leaves_nothing_behind(valkey: Valkey) -> None:
    """All is done once; the answers lie in a stream that expires."""
    async with open_bus(valkey, "key_issuer") as bus:
        with process(valkey, "request") as requester:
            await until(lambda: _has_backlog(bus, REQUESTS), 30)
            requester.kill()
            requester.wait()
        with process(valkey, "work"):
            await until(lambda: _has_backlog(bus, 0), 30)
        assert await effects(bus) == {f"slow{number}" for number in range(REQUESTS)}
        assert await is_quiet(bus)
        for stream in await bus.redis.execute("KEYS", names.replies("auth_api.*")):
            assert 0 < await bus.redis.execute("TTL", stream) <= 300


async def _has_backlog(bus: Bus, entries: int) -> bool:
    length: int = await bus.redis.execute("XLEN", STREAM)
    return length == entries


async def test_a_stop_finishes_what_runs_and_leaves_the_group(valkey: Valkey) -> None:
    """SIGTERM: no more is read, what runs is answered, the member is gone."""
    async with open_bus(valkey) as bus:
        with process(valkey, "work") as worker:
            waiting = asyncio.create_task(bus.request(Echo(text="slow"), timeout=60))
            await until(lambda: _was_begun(bus, "slow", 1), 30)
            worker.send_signal(signal.SIGTERM)
            assert (await waiting).text == "slow"
            await until(lambda: worker.poll() is not None, 30)
            assert worker.returncode == 0
        assert await bus.redis.execute("XINFO", "CONSUMERS", STREAM, GROUP) == []
        async with consuming(echoing(bus)):
            assert (await bus.request(Echo(text="next"))).text == "next"
