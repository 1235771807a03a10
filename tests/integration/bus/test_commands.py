"""Commands and replies: every failure case of bus.md that one process can provoke."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import pytest

from shared.bus import Bus, Consumer, Delivery, RemoteFailure, handler, names
from shared.bus.recovery import MOST_DELIVERIES
from shared.bus.status import bus_status, dead_letters, drop_dead_letter, replay_dead_letter
from shared.clock import SystemClock
from shared.errors import BusUnavailable, StoreUnavailable
from tests.integration.bus.conftest import Echo, EchoReply, Valkey, consuming, open_bus, until

STREAM = names.commands("key_issuer")


async def echo(command: Echo, _delivery: Delivery) -> EchoReply:
    """Says the same again."""
    return EchoReply(text=command.text)


def echoing(bus: Bus, claim_idle_ms: int = 15_000) -> Consumer:
    """A consumer that echoes."""
    return Consumer(bus, "key_issuer", [handler(Echo, echo)], claim_idle_ms=claim_idle_ms)


async def is_quiet(bus: Bus) -> bool:
    """Nothing waits anywhere."""
    return (await bus_status(bus.redis, SystemClock().now())).quiet


async def test_a_request_is_answered_and_leaves_nothing_behind(valkey: Valkey) -> None:
    """A hundred concurrent requests: each gets its own answer, the stream is empty afterwards."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        replies = await asyncio.gather(*(ours.request(Echo(text=str(number))) for number in range(100)))
        assert [reply.text for reply in replies] == [str(number) for number in range(100)]
        await until(lambda: is_quiet(ours))


async def test_a_command_sent_before_the_first_worker_ever_started_is_handled(valkey: Valkey) -> None:
    """The group begins at 0, not at the end."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        waiting = asyncio.create_task(ours.request(Echo(text="early")))
        await until(lambda: _has_backlog(ours))
        async with consuming(echoing(theirs)):
            assert (await waiting).text == "early"


async def test_no_worker_means_unavailable_by_the_deadline_and_no_late_start(valkey: Valkey) -> None:
    """The requester hears of the deadline; a worker that comes later does not begin the work."""
    handled = []

    async def note(command: Echo, delivery: Delivery) -> EchoReply:
        handled.append(command.text)
        return await echo(command, delivery)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        with pytest.raises(BusUnavailable, match="deadline"):
            await ours.request(Echo(text="late"), timeout=0.2)
        async with consuming(Consumer(theirs, "key_issuer", [handler(Echo, note)])):
            await until(lambda: is_quiet(ours))
        assert handled == []


async def test_poison_goes_to_the_dead_letters_and_the_loop_goes_on(valkey: Valkey) -> None:
    """Bodies that are no JSON, unknown types, entries that are no envelope: kept with the reason, never in the way."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        good = ours.prepare(Echo(text="x")).fields
        for change in ({"d": "{"}, {"t": "nobody.knows"}, {"v": "9"}, {"ts": "soon"}, {"d": '{"text": 5}'}):
            fields = dict(zip(good[::2], good[1::2], strict=True)) | change
            await ours.redis.execute("XADD", STREAM, "*", *[part for pair in fields.items() for part in pair])
        await ours.redis.execute("XADD", STREAM, "*", "nothing", "known")
        assert (await ours.request(Echo(text="still here"))).text == "still here"
        await until(lambda: _has_dead_letters(ours, 6))
        letters = await dead_letters(ours.redis)
        assert {letter.type for letter in letters} >= {"echo.say", "nobody.knows", "?"}
        assert all(letter.reason for letter in letters)
        for letter in letters:
            assert await drop_dead_letter(ours.redis, letter)
        await until(lambda: is_quiet(ours))


async def test_a_handler_that_always_fails_ends_as_a_dead_letter_that_can_be_replayed(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five tries with pauses, then the dead letters; a replay after the mend is handled."""
    monkeypatch.setattr("shared.bus.dispatch.RETRY_SECONDS", (0.01,))
    broken = True

    async def fails(command: Echo, delivery: Delivery) -> EchoReply:
        if broken:
            raise ZeroDivisionError
        return await echo(command, delivery)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        consumer = Consumer(theirs, "key_issuer", [handler(Echo, fails)])
        async with consuming(consumer):
            with pytest.raises(RemoteFailure):
                await ours.request(Echo(text="x"), timeout=20)
            (letter,) = await dead_letters(ours.redis)
            assert letter.reason.startswith("ZeroDivisionError")
            broken = False
            assert await replay_dead_letter(ours.redis, letter)
            assert not await replay_dead_letter(ours.redis, letter)
            await until(lambda: is_quiet(ours))


async def test_an_outage_of_a_store_puts_the_message_aside_and_it_is_done_later(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that meets StoreUnavailable is tried again; a message without deadline outlives any number of tries."""
    monkeypatch.setattr("shared.bus.dispatch.RETRY_SECONDS", (0.01,))
    tries = 0

    async def later(_command: Echo, _delivery: Delivery) -> None:
        nonlocal tries
        tries += 1
        if tries <= 8:
            raise StoreUnavailable("postgres")

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        consumer = Consumer(theirs, "key_issuer", [handler(Echo, later)])
        async with consuming(consumer):
            await ours.send(Echo(text="x"))
            await until(lambda: _is(lambda: tries == 9))
            await until(lambda: is_quiet(ours))


@pytest.mark.parametrize("blow", [("FLUSHALL",), ("DEL", STREAM)])
async def test_a_stream_that_vanishes_under_a_blocked_reader_is_made_again(
    valkey: Valkey, blow: tuple[str, ...]
) -> None:
    """NOGROUP and UNBLOCKED recreate the group; requests work again, also replies after a FLUSHALL."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        await ours.request(Echo(text="before"))
        await ours.redis.execute(*blow)

        async def works() -> bool:
            with suppress(BusUnavailable):
                return (await ours.request(Echo(text="after"), timeout=0.5)).text == "after"
            return False

        await until(works, seconds=20)


async def test_entries_of_a_dead_worker_are_taken_over_once(valkey: Valkey) -> None:
    """A worker that dies between reading and acknowledging loses nothing."""
    hanging = asyncio.Event()

    async def hang(_command: Echo, _delivery: Delivery) -> EchoReply:
        hanging.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        open_bus(valkey) as ours,
        open_bus(valkey, "key_issuer") as dead,
        open_bus(valkey, "key_issuer") as alive,
    ):
        victim = asyncio.create_task(Consumer(dead, "key_issuer", [handler(Echo, hang)]).run())
        waiting = asyncio.create_task(ours.request(Echo(text="orphan"), timeout=10))
        await hanging.wait()
        victim.cancel()
        with suppress(asyncio.CancelledError):
            await victim
        async with consuming(echoing(alive, claim_idle_ms=200)):
            assert (await waiting).text == "orphan"
            await until(lambda: is_quiet(ours))


async def test_a_message_that_crashes_its_consumers_is_buried(valkey: Valkey) -> None:
    """Delivered five times without an acknowledgement: the sixth taker puts it to the dead letters."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        await ours.redis.execute("XGROUP", "CREATE", STREAM, "key_issuer", "0", "MKSTREAM")
        await ours.send(Echo(text="killer"))
        await ours.redis.execute("XREADGROUP", "GROUP", "key_issuer", "crashed", "STREAMS", STREAM, ">")
        for _ in range(MOST_DELIVERIES - 1):
            await ours.redis.execute("XAUTOCLAIM", STREAM, "key_issuer", "crashed", 0, "0-0")
        async with consuming(echoing(theirs, claim_idle_ms=100)):
            await until(lambda: _has_dead_letters(ours, 1))


async def test_long_handlers_keep_their_entries_by_heartbeats(valkey: Valkey) -> None:
    """A second worker does not take over what is still worked on, and thirty of them do not hide a dead one's entries."""
    release = asyncio.Event()
    taken: list[str] = []

    async def slow(command: Echo, delivery: Delivery) -> EchoReply:
        taken.append(command.text)
        await release.wait()
        return await echo(command, delivery)

    async with (
        open_bus(valkey) as ours,
        open_bus(valkey, "key_issuer") as one,
        open_bus(valkey, "key_issuer") as two,
    ):
        first = Consumer(one, "key_issuer", [handler(Echo, slow)], slots=30, claim_idle_ms=400)
        async with consuming(first):
            long = [asyncio.create_task(ours.request(Echo(text=f"long{n}"), timeout=20)) for n in range(30)]
            await until(lambda: _is(lambda: len(taken) == 30))
            async with consuming(echoing(two, claim_idle_ms=400)):
                late = await ours.request(Echo(text="late"), timeout=10)
                assert late.text == "late"
                await asyncio.sleep(1.2)
                release.set()
                assert [reply.text for reply in await asyncio.gather(*long)] == [
                    f"long{n}" for n in range(30)
                ]
        assert len(taken) == len(set(taken))


async def test_a_stalled_server_is_unavailable_within_three_seconds_and_recovers(valkey: Valkey) -> None:
    """SIGSTOP: every waiting call ends; after SIGCONT the same bus works again without a hand."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        await ours.request(Echo(text="warm"))
        valkey.signal(signal.SIGSTOP)
        began = asyncio.get_running_loop().time()
        outcomes = await asyncio.gather(
            *(ours.request(Echo(text=str(number)), timeout=10) for number in range(50)),
            return_exceptions=True,
        )
        assert asyncio.get_running_loop().time() - began < 3.5
        assert all(isinstance(outcome, BusUnavailable) for outcome in outcomes)
        valkey.signal(signal.SIGCONT)
        await until(lambda: _works(ours), seconds=20)


async def test_a_killed_server_is_survived_with_what_was_acknowledged(valkey: Valkey) -> None:
    """After kill -9 and a start on the same data: what ``send`` had returned for is handled, both ends recover."""
    handled: list[str] = []

    async def note(command: Echo, _delivery: Delivery) -> EchoReply:
        handled.append(command.text)
        return EchoReply(text=command.text)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        for number in range(20):
            await ours.send(Echo(text=str(number)))
        valkey.kill()
        async with consuming(Consumer(theirs, "key_issuer", [handler(Echo, note)])):
            with pytest.raises(BusUnavailable):
                await ours.request(Echo(text="down"))
            valkey.start()
            await until(
                lambda: _is(lambda: set(handled) >= {str(number) for number in range(20)}), seconds=20
            )
            await until(lambda: _works(ours), seconds=20)


async def test_a_clean_stop_removes_the_member_and_hands_nothing_back(valkey: Valkey) -> None:
    """Only members that hold nothing are removed; XGROUP DELCONSUMER would drop their pending entries."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        async with consuming(echoing(theirs)):
            await ours.request(Echo(text="x"))
        groups = await ours.redis.execute("XINFO", "CONSUMERS", STREAM, "key_issuer")
        assert groups == []


async def test_a_full_queue_refuses_at_once(valkey: Valkey) -> None:
    """Above the high-water mark a request costs nothing and says so."""
    async with open_bus(valkey, high_water=3) as ours:
        for _ in range(5):
            await ours.send(Echo(text="x"))

        async def is_full() -> bool:
            with suppress(BusUnavailable):
                await ours.refuse_overload("key_issuer")
                return False
            return True

        await until(is_full)
        with pytest.raises(BusUnavailable, match="overload"):
            ours.prepare(Echo(text="too much"), timeout=30)
        with pytest.raises(BusUnavailable, match="overload"):
            await ours.request(Echo(text="too much"), timeout=30)
        await ours.send(Echo(text="may wait"))


async def test_a_duplicate_entry_is_answered_twice_and_harms_nobody(valkey: Valkey) -> None:
    """An XADD that was repeated by a nervous sender reaches the handler twice with the same id."""
    seen: list[str] = []

    async def note(command: Echo, delivery: Delivery) -> EchoReply:
        seen.append(delivery.message_id)
        return await echo(command, delivery)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        consumer = Consumer(theirs, "key_issuer", [handler(Echo, note)])
        async with consuming(consumer):
            request = ours.prepare(Echo(text="twice"))
            for _ in range(2):
                await ours.redis.execute("XADD", request.stream, "*", *request.fields)
            assert (await request.reply()).text == "twice"
            await until(lambda: is_quiet(ours))
    assert seen == [request.message_id] * 2


async def test_an_answer_to_a_process_that_is_gone_vanishes(valkey: Valkey) -> None:
    """A process that stops takes its reply stream with it, and no late answer makes it again."""
    async with open_bus(valkey, "key_issuer") as theirs:
        async with open_bus(valkey) as ours:
            request = ours.prepare(Echo(text="late"))
            await ours.redis.execute("XADD", request.stream, "*", *request.fields)
            request.abandon()
        async with consuming(echoing(theirs)):
            await until(lambda: is_quiet(theirs))
        assert not await theirs.redis.execute("EXISTS", ours.reply_stream)


async def _has_backlog(bus: Bus) -> bool:
    return bool(await bus.redis.execute("XLEN", STREAM))


async def _has_dead_letters(bus: Bus, number: int) -> bool:
    return len(await dead_letters(bus.redis)) == number


async def _works(bus: Bus) -> bool:
    with suppress(BusUnavailable):
        return (await bus.request(Echo(text="ok"), timeout=1)).text == "ok"
    return False


async def _is(check: object) -> bool:
    assert callable(check)
    return bool(check())
