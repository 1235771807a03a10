"""Commands that fail: what their requester hears, what is tried again, and what ends as a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shared.bus import Bus, Consumer, Delivery, RemoteFailure, handler
from shared.bus.dead_letters import dead_letters, drop_dead_letter, replay_dead_letter
from shared.errors import BusUnavailable, StoreUnavailable
from tests.integration.bus.conftest import (
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
    monkeypatch.setattr("shared.bus.acknowledger.RETRY_SECONDS", (0.01,))
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
    monkeypatch.setattr("shared.bus.acknowledger.RETRY_SECONDS", (0.01,))
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
            await until(lambda: tries == 9)
            await until(lambda: is_quiet(ours))


async def test_a_batch_that_fails_is_tried_one_by_one(valkey: Valkey) -> None:
    """One message cannot spoil the others; an exception in its place fails a message alone."""
    sizes: list[int] = []

    async def many(commands: Sequence[Echo], _deliveries: Sequence[Delivery]) -> list[EchoReply | Exception]:
        sizes.append(len(commands))
        if any(command.text == "spoils" for command in commands):
            raise ZeroDivisionError
        return [ValueError() if each.text == "fails" else EchoReply(text=each.text) for each in commands]

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        texts = ["a", "spoils", "b", "fails", "c"]
        waiting = [asyncio.create_task(ours.request(Echo(text=text), timeout=1.5)) for text in texts]
        await until(lambda: has_backlog(ours, len(texts)))
        async with consuming(Consumer(theirs, "key_issuer", [handler(Echo, many, batch=True)])):
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            kinds = [type(answer) for answer in answers]
            assert kinds == [EchoReply, RemoteFailure, EchoReply, RemoteFailure, EchoReply]
            assert sizes[0] == len(texts)
            await until(lambda: _has_dead_letters(ours, 2))
            reasons = {letter.reason for letter in await dead_letters(ours.redis)}
            assert reasons == {"ValueError in try 2", "ZeroDivisionError in try 2"}


async def test_a_handler_whose_store_is_away_says_so_before_the_deadline(valkey: Valkey) -> None:
    """When no later try would be in time, the requester need not wait."""

    async def away(_command: Echo, _delivery: Delivery) -> EchoReply:
        raise StoreUnavailable("postgres")

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        consumer = Consumer(theirs, "key_issuer", [handler(Echo, away)])
        async with consuming(consumer):
            with pytest.raises(BusUnavailable, match="unavailable"):
                await ours.request(Echo(text="x"), timeout=5)
            await until(lambda: is_quiet(ours))


async def test_what_was_put_aside_keeps_its_id_and_counts_its_tries(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same message, whatever bytes it holds."""
    monkeypatch.setattr("shared.bus.acknowledger.RETRY_SECONDS", (0.01,))
    seen: list[Delivery] = []

    async def twice(command: Echo, delivery: Delivery) -> EchoReply:
        seen.append(delivery)
        if delivery.attempt < 3:
            raise StoreUnavailable("postgres")
        return await echo(command, delivery)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        async with consuming(Consumer(theirs, "key_issuer", [handler(Echo, twice)])):
            text = "é\x01\u2028 end"
            assert (await ours.request(Echo(text=text), timeout=20)).text == text
        assert [delivery.attempt for delivery in seen] == [1, 2, 3]
        assert len({(delivery.message_id, delivery.expires_on) for delivery in seen}) == 1


async def _has_dead_letters(bus: Bus, number: int) -> bool:
    return len(await dead_letters(bus.redis)) == number
