"""Commands and replies: what is asked, how it fails, and what is left behind."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import pytest

from shared.bus import Bus, CoalescingRedis, Consumer, Delivery, handler
from shared.clock import SystemClock
from shared.contracts.keys import AbandonKey, ListKeys, RevokeKey
from shared.errors import BusUnavailable
from shared.redis.checks import parse_info
from shared.redis.client import RedisTime
from shared.telemetry.correlation import correlation
from tests.integration.bus.conftest import (
    GROUP,
    STREAM,
    Valkey,
    consuming,
    echo,
    echoing,
    has_backlog,
    is_quiet,
    open_bus,
    until,
)
from tests.integration.bus.messages import Echo, EchoReply


async def test_a_request_is_answered_and_leaves_nothing_behind(valkey: Valkey) -> None:
    """A hundred concurrent requests: each gets its own answer, the stream is empty afterwards."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        replies = await asyncio.gather(*(ours.request(Echo(text=str(number))) for number in range(100)))
        assert [reply.text for reply in replies] == [str(number) for number in range(100)]
        await until(lambda: is_quiet(ours))


async def test_a_lone_request_costs_six_commands(valkey: Valkey) -> None:
    """Command and reply are appended and read, the entry is deleted and acknowledged; no transaction, no other read."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        await ours.request(Echo(text="warm"))
        await until(lambda: is_quiet(ours))
        before = await _calls(ours)
        for number in range(50):
            await ours.request(Echo(text=str(number)))
        await until(lambda: is_quiet(ours))
        spent = await _calls(ours) - before
    assert (spent["xadd"], spent["xdel"], spent["xack"]) == (100, 50, 50)
    assert (
        spent["xreadgroup"] + spent["xread"] <= 110
    )  # each reader also has a read that waits, now and then a new one
    assert spent["multi"] == spent["exec"] == 0


async def test_a_command_sent_before_the_first_worker_ever_started_is_handled(valkey: Valkey) -> None:
    """The group begins at 0, not at the end."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        waiting = asyncio.create_task(ours.request(Echo(text="early")))
        await until(lambda: has_backlog(ours))
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


async def test_a_clean_stop_removes_the_member_and_hands_nothing_back(valkey: Valkey) -> None:
    """Only members that hold nothing are removed; XGROUP DELCONSUMER would drop their pending entries."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        async with consuming(echoing(theirs)):
            await ours.request(Echo(text="x"))
        groups = await ours.redis.execute("XINFO", "CONSUMERS", STREAM, GROUP)
        assert groups == []


async def test_a_full_queue_refuses_at_once(valkey: Valkey) -> None:
    """Above the high-water mark a request costs nothing and says so."""
    async with open_bus(valkey, high_water=3) as ours:
        for _ in range(5):
            await ours.send(Echo(text="x"))

        async def is_full() -> bool:
            with suppress(BusUnavailable):
                ours.prepare(Echo(text="one more"), timeout=30).abandon()
                return False
            return True

        await until(is_full)
        with pytest.raises(BusUnavailable, match="overload"):
            ours.prepare(Echo(text="too much"), timeout=30)
        with pytest.raises(BusUnavailable, match="overload"):
            await ours.request(Echo(text="too much"), timeout=30)
        await ours.send(Echo(text="may wait"))
        ours.prepare(
            RevokeKey(key_id="k" * 16, user_id=2, reason="owner")
        ).abandon()  # taking back is not refused
        ours.prepare(AbandonKey(key_id="k" * 16, code_digest="c" * 64)).abandon()
        with pytest.raises(BusUnavailable, match="overload"):
            ours.prepare(ListKeys(user_id=2))


async def test_a_script_may_attach_what_a_command_lacks(valkey: Valkey) -> None:
    """Its members are taken from where they were kept, without that the sender has read them."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        request = ours.prepare(Echo.model_construct())  # type: ignore[call-arg]
        await ours.redis.execute(
            "XADD", request.stream, "*", *request.fields, "a", '{"text":"kept elsewhere"}'
        )
        assert (await request.reply()).text == "kept elsewhere"


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


async def test_a_slow_batch_holds_up_nobody(valkey: Valkey) -> None:
    """While batches wait for a lock, others are read and answered."""
    release = asyncio.Event()

    async def many(commands: Sequence[Echo], _deliveries: Sequence[Delivery]) -> list[EchoReply]:
        if any(command.text.startswith("stuck") for command in commands):
            await release.wait()
        return [EchoReply(text=command.text) for command in commands]

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        consumer = Consumer(theirs, "key_issuer", [handler(Echo, many, batch=True)], batch=1)
        async with consuming(consumer):
            stuck = [asyncio.create_task(ours.request(Echo(text=f"stuck{n}"), timeout=20)) for n in range(4)]
            await until(lambda: has_backlog(ours, 4))
            assert (await ours.request(Echo(text="free"), timeout=5)).text == "free"
            release.set()
            await asyncio.gather(*stuck)


async def test_clocks_that_differ_by_a_minute_do_not_matter(valkey: Valkey) -> None:
    """Deadlines are told by the clock of Redis: nothing is refused as late, and what is late is not begun."""
    begun: list[str] = []

    async def note(command: Echo, delivery: Delivery) -> EchoReply:
        begun.append(command.text)
        return await echo(command, delivery)

    async with (
        open_bus(valkey, clock=_Skewed(-60_000)) as ours,
        open_bus(valkey, "key_issuer", clock=_Skewed(60_000)) as theirs,
    ):
        with pytest.raises(BusUnavailable, match="deadline"):
            await ours.request(Echo(text="late"), timeout=0.3)
        async with consuming(Consumer(theirs, "key_issuer", [handler(Echo, note)])):
            assert (await ours.request(Echo(text="in time"))).text == "in time"
            await until(lambda: is_quiet(ours))
        assert begun == ["in time"]


class _Skewed:
    """A clock that is wrong."""

    def __init__(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def now(self) -> int:
        """Wall time in ms."""
        return time.time_ns() // 1_000_000 + self._ahead_ms

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic()


async def test_a_slow_answer_moves_no_clock(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis stood still while it was asked for the time: nobody knows when it looked."""
    async with open_bus(valkey):
        redis, time_of_redis = CoalescingRedis(valkey.url), RedisTime(SystemClock())
    ticks = [0.0, 0.01]
    monkeypatch.setattr("shared.redis.client.monotonic", lambda: ticks.pop(0) if ticks else 0.0)
    await time_of_redis.measure(redis)
    told = time_of_redis.now()
    ticks += [0.0, 5.0]
    await time_of_redis.measure(redis)
    assert time_of_redis.now() == told
    await redis.close()


async def test_five_times_more_than_can_be_done_is_refused_not_queued(valkey: Valkey) -> None:
    """Who is let in is answered within the deadline; the others hear at once; afterwards all is as before."""

    async def slow(command: Echo, delivery: Delivery) -> EchoReply:
        await asyncio.sleep(0.1)
        return await echo(command, delivery)

    async def answers() -> bool:
        return (await _timed(ours))[0] == "answered"

    async with open_bus(valkey, high_water=40) as ours, open_bus(valkey, "key_issuer") as theirs:
        consumer = Consumer(theirs, "key_issuer", [handler(Echo, slow)], slots=10)
        async with consuming(consumer):
            tasks = []
            for _ in range(20):  # 100 a second can be done, 500 a second come
                tasks += [asyncio.create_task(_timed(ours)) for _ in range(50)]
                await asyncio.sleep(0.1)
            outcomes = await asyncio.gather(*tasks)
            refused = [seconds for word, seconds in outcomes if word == "overload"]
            answered = [seconds for word, seconds in outcomes if word == "answered"]
            assert len(refused) + len(answered) == 1000
            assert len(answered) > 100
            assert max(answered) < 5
            assert sorted(refused)[len(refused) // 2] < 0.1
            await until(lambda: is_quiet(ours))
            await until(answers)  # the length that was seen last is believed for half a second


async def _timed(bus: Bus) -> tuple[str, float]:
    began = time.monotonic()
    try:
        await bus.request(Echo(text="x"), timeout=5)
    except BusUnavailable as error:
        return error.reason, time.monotonic() - began
    return "answered", time.monotonic() - began


async def test_a_message_says_what_it_belongs_to_all_along_the_way(valkey: Valkey) -> None:
    """The id of the HTTP request travels with every command that it causes, also those of handlers."""
    seen: list[bytes] = []

    async def ask_on(command: Echo, delivery: Delivery) -> EchoReply:
        if command.text == "first":
            await theirs.send(Echo(text="second"))
            entries = await theirs.redis.execute("XRANGE", STREAM, "-", "+")
            seen.extend(fields[fields.index(b"cid") + 1] for _, fields in entries)
        return await echo(command, delivery)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        consumer = Consumer(theirs, "key_issuer", [handler(Echo, ask_on)], slots=1)
        async with consuming(consumer):
            correlation.set("request-1")
            await ours.request(Echo(text="first"))
            await until(lambda: is_quiet(ours))
    assert seen == [b"request-1", b"request-1"]


async def test_a_body_that_is_too_large_is_refused_where_it_is_sent(valkey: Valkey) -> None:
    """A bug of the sender, told to the sender."""
    async with open_bus(valkey) as ours:
        with pytest.raises(ValueError, match="bytes"):
            await ours.request(Echo(text="x" * 70_000))


async def _calls(bus: Bus) -> Counter[str]:
    """How often the server has carried out each command."""
    facts = parse_info(await bus.redis.execute("INFO", "commandstats"))
    return Counter(
        {
            name.removeprefix("cmdstat_"): int(line.partition(",")[0].removeprefix("calls="))
            for name, line in facts.items()
        }
    )
