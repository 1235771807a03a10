"""Taking over, heartbeats, handing back: entries of the living stay theirs, those of the dead do not wait for long."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from shared.bus import Bus, Consumer, Delivery, handler
from shared.bus.dead_letters import dead_letters
from shared.bus.recovery import MOST_DELIVERIES
from tests.integration.bus.conftest import (
    GROUP,
    STREAM,
    Valkey,
    consuming,
    echo,
    echoing,
    is_quiet,
    open_bus,
    until,
)
from tests.integration.bus.messages import Echo, EchoReply
from tests.integration.oauth.severable import Severable


async def read_as(bus: Bus, member: str, count: int) -> None:
    """Takes entries as a member that never finishes them."""
    with suppress(Exception):
        await bus.redis.execute("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM")
    await bus.redis.execute("XREADGROUP", "GROUP", GROUP, member, "COUNT", count, "STREAMS", STREAM, ">")


async def test_entries_of_a_dead_worker_are_taken_over(valkey: Valkey) -> None:
    """And the requester, if it is still there, gets its answer."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        waiting = asyncio.create_task(ours.request(Echo(text="orphan"), timeout=20))
        await until(lambda: _length(ours, 1))
        await read_as(ours, "dead", 1)
        async with consuming(echoing(theirs, claim_idle_ms=200)):
            assert (await waiting).text == "orphan"
            await until(lambda: is_quiet(ours))


async def test_a_crash_looping_message_is_buried_and_its_neighbours_are_not(valkey: Valkey) -> None:
    """Begun five times and never ended: the next taker buries it without beginning it."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        await ours.send(Echo(text="killer"))
        await read_as(ours, "crashed", 1)
        for _ in range(MOST_DELIVERIES - 1):
            await ours.redis.execute("XAUTOCLAIM", STREAM, GROUP, "crashed", 0, "0-0")
        waiting = asyncio.create_task(ours.request(Echo(text="neighbour"), timeout=20))
        await until(lambda: _length(ours, 2))
        await read_as(ours, "crashed", 1)
        begun: list[str] = []

        async def note(command: Echo, delivery: Delivery) -> EchoReply:
            begun.append(command.text)
            return await echo(command, delivery)

        async with consuming(Consumer(theirs, Echo.queue, [handler(Echo, note)], claim_idle_ms=100)):
            assert (await waiting).text == "neighbour"
            await until(lambda: _has_dead_letters(ours, 1))
        assert begun == ["neighbour"]


async def test_suspects_are_begun_one_at_a_time(valkey: Valkey) -> None:
    """What was begun twice already may be what crashes: it must not take others with it again."""
    running = most = 0

    async def slowly(command: Echo, delivery: Delivery) -> EchoReply:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return await echo(command, delivery)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        for number in range(5):
            await ours.send(Echo(text=str(number)))
        await read_as(ours, "crashed", 5)
        await ours.redis.execute("XAUTOCLAIM", STREAM, GROUP, "crashed", 0, "0-0")
        async with consuming(Consumer(theirs, Echo.queue, [handler(Echo, slowly)], claim_idle_ms=100)):
            await until(lambda: is_quiet(ours))
        assert most == 1


async def test_thirty_long_handlers_do_not_hide_the_entries_of_a_dead_worker(valkey: Valkey) -> None:
    """Heartbeats keep the thirty with their worker; the ten behind them are found all the same; each is begun once."""
    release = asyncio.Event()
    taken: list[str] = []

    async def slow(command: Echo, delivery: Delivery) -> EchoReply:
        taken.append(command.text)
        if command.text.startswith("long"):
            await release.wait()
        return await echo(command, delivery)

    async with (
        open_bus(valkey) as ours,
        open_bus(valkey, "key_issuer") as one,
        open_bus(valkey, "key_issuer") as two,
    ):
        first = Consumer(one, Echo.queue, [handler(Echo, slow)], slots=30, claim_idle_ms=600)
        second = Consumer(two, Echo.queue, [handler(Echo, slow)], slots=4, claim_idle_ms=600)
        async with consuming(first):
            long = [asyncio.create_task(ours.request(Echo(text=f"long{n}"), timeout=40)) for n in range(30)]
            await until(lambda: len(taken) == 30)
            orphans = [
                asyncio.create_task(ours.request(Echo(text=f"orphan{n}"), timeout=40)) for n in range(10)
            ]
            await until(lambda: _length(ours, 40))
            await read_as(ours, "dead", 10)
            async with consuming(second):
                assert {reply.text for reply in await asyncio.gather(*orphans)} == {
                    f"orphan{n}" for n in range(10)
                }
                release.set()
                assert len(await asyncio.gather(*long)) == 30
                await until(lambda: is_quiet(ours))
        assert len(taken) == len(set(taken)) == 40


async def test_a_worker_takes_up_what_a_lost_answer_had_given_to_it(valkey: Valkey) -> None:
    """The server had assigned the entry, the answer never arrived: no need to wait until the entry is old."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        waiting = asyncio.create_task(ours.request(Echo(text="lost"), timeout=14))
        await until(lambda: _length(ours, 1))
        await read_as(ours, theirs.instance, 1)
        async with consuming(echoing(theirs)):  # with the usual 15 s
            assert (await waiting).text == "lost"
            await until(lambda: is_quiet(ours))


@pytest.mark.parametrize("begun", [1, 2, MOST_DELIVERIES])
@pytest.mark.parametrize("owner", ["dead", "this member"])
async def test_an_entry_that_is_deleted_and_not_acknowledged_is_only_dropped(
    valkey: Valkey, owner: str, begun: int
) -> None:
    """A worker died between the two: what it had done is done, and is neither begun again nor a dead letter."""
    handled: list[str] = []

    async def note(command: Echo, delivery: Delivery) -> EchoReply:
        handled.append(command.text)
        return await echo(command, delivery)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        member = theirs.instance if owner == "this member" else owner
        await ours.send(Echo(text="done"))
        await read_as(ours, member, 1)
        for _ in range(begun - 1):
            await ours.redis.execute("XAUTOCLAIM", STREAM, GROUP, member, 0, "0-0")
        ((entry, _),) = await ours.redis.execute("XRANGE", STREAM, "-", "+")
        await ours.redis.execute("XDEL", STREAM, entry)
        assert not await is_quiet(ours)
        async with consuming(Consumer(theirs, Echo.queue, [handler(Echo, note)], claim_idle_ms=100)):
            await until(lambda: is_quiet(ours))
        assert handled == []
        assert await dead_letters(ours.redis) == []


async def test_a_zombie_that_gives_up_ends_nothing_of_anothers(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handler fails for good after the entry was taken over: whoever works on it now has the last word."""
    monkeypatch.setattr("shared.bus.acknowledger.MOST_ATTEMPTS", 1)
    begun, taken_over, failed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def fail(_command: Echo, _delivery: Delivery) -> EchoReply:
        begun.set()
        await taken_over.wait()
        failed.set()
        raise ValueError("a zombie's")

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as zombie:
        async with consuming(Consumer(zombie, Echo.queue, [handler(Echo, fail)])):
            waiting = asyncio.create_task(ours.request(Echo(text="taken over"), timeout=30))
            await begun.wait()
            ((entry, _),) = await ours.redis.execute("XRANGE", STREAM, "-", "+")
            await ours.redis.execute("XCLAIM", STREAM, GROUP, "other", 0, entry, "JUSTID")
            taken_over.set()
            await failed.wait()
        assert await _length(ours, 1)
        assert await dead_letters(ours.redis) == []
        async with open_bus(valkey, "key_issuer") as other, consuming(echoing(other, claim_idle_ms=200)):
            assert (await waiting).text == "taken over"
            await until(lambda: is_quiet(ours))


async def test_a_line_that_dies_silently_is_noticed_by_its_reader(valkey: Valkey) -> None:
    """Half-open: the server still gives entries to the old connection. They are taken up on the next one."""
    async with Severable(valkey.url).serving() as line, open_bus(valkey) as ours:
        theirs = Bus(line.url, source="key_issuer")
        await theirs.start()
        async with consuming(echoing(theirs)):  # with the usual 15 s
            assert (await ours.request(Echo(text="before"))).text == "before"
            line.forget()
            replies = await asyncio.gather(*(ours.request(Echo(text=str(n)), timeout=14) for n in range(20)))
            assert [reply.text for reply in replies] == [str(n) for n in range(20)]
            await until(lambda: is_quiet(ours))
        await theirs.stop()


async def test_what_does_not_end_in_time_is_handed_back(valkey: Valkey) -> None:
    """A worker that must end leaves its entries to others at once, not after the time of the dead."""
    begun = asyncio.Event()

    async def hang(_command: Echo, _delivery: Delivery) -> EchoReply:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        open_bus(valkey) as ours,
        open_bus(valkey, "key_issuer") as one,
        open_bus(valkey, "key_issuer") as two,
    ):
        leaving = asyncio.create_task(Consumer(one, Echo.queue, [handler(Echo, hang)]).run())
        waiting = asyncio.create_task(ours.request(Echo(text="handed on"), timeout=14))
        await begun.wait()
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await leaving
        async with consuming(echoing(two)):  # with the usual 15 s
            assert (await waiting).text == "handed on"


async def _length(bus: Bus, entries: int) -> bool:
    length: int = await bus.redis.execute("XLEN", STREAM)
    return length == entries


async def _has_dead_letters(bus: Bus, number: int) -> bool:
    return len(await dead_letters(bus.redis)) == number
