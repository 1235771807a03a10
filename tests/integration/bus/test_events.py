"""Events: every group sees each, a failing group disturbs no other, and nothing is trimmed that somebody must read."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from shared.bus import Bus, Delivery, EventConsumer, Janitor, handler, names
from shared.bus.dead_letters import dead_letters, drop_dead_letter
from shared.contracts.events import GrantRevoked, KeysChanged
from shared.contracts.messages import Envelope
from shared.errors import StoreUnavailable
from tests.integration.bus.conftest import STREAM, Valkey, consuming, echoing, is_quiet, open_bus, until
from tests.integration.bus.messages import Echo

EVENTS = names.event_stream(GrantRevoked.stream)
KEYS = names.event_stream(KeysChanged.stream)


async def tell(bus: Bus, key_id: str, body: bytes | None = None) -> None:
    """Appends an event as the relay does."""
    event = GrantRevoked(user_id=2, client_id=key_id, before=1, reason="client_deleted")
    envelope = Envelope(f"id-{key_id}", event.type, "key_issuer", bus.time.now(), body or event.to_wire())
    await bus.redis.execute("XADD", EVENTS, "*", *envelope.to_fields())


class Group:
    """A consuming service and what it has heard."""

    def __init__(self, bus: Bus, name: str, *, failures: int = 0, outages: int = 0) -> None:
        self.heard: list[tuple[str | None, int]] = []
        self._failures = failures
        self._outages = outages
        self.consumer = EventConsumer(bus, GrantRevoked.stream, name, [handler(GrantRevoked, self._hear)])

    async def _hear(self, event: GrantRevoked, delivery: Delivery) -> None:
        self.heard.append((event.client_id, delivery.attempt))
        if delivery.attempt <= self._outages:
            raise StoreUnavailable("postgres")
        if event.client_id == "bad" or delivery.attempt <= self._failures:
            raise ZeroDivisionError


async def test_every_group_hears_every_event_also_those_before_its_first_start(valkey: Valkey) -> None:
    """A group begins at 0."""
    async with open_bus(valkey) as bus:
        await tell(bus, "early")
        one, two = Group(bus, "one"), Group(bus, "two")
        async with consuming(one.consumer), consuming(two.consumer):
            await tell(bus, "late")
            await until(lambda: one.heard == two.heard == [("early", 1), ("late", 1)])
            await until(lambda: is_quiet(bus))


async def test_a_group_that_fails_tries_again_alone(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others hear each event once; an outage is waited for however long it takes."""
    monkeypatch.setattr("shared.bus.acknowledger.RETRY_SECONDS", (0.01,))
    async with open_bus(valkey) as bus, open_bus(valkey, "other") as other:
        failing, well = Group(bus, "failing", outages=8), Group(other, "well")
        async with consuming(failing.consumer), consuming(well.consumer):
            await tell(bus, "k")
            await until(lambda: len(failing.heard) == 9)
            await until(lambda: is_quiet(bus))
            assert well.heard == [("k", 1)]
        assert await dead_letters(bus.redis) == []


async def test_an_event_that_a_group_cannot_handle_becomes_its_dead_letter(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five tries, or at once where it cannot be read; the group goes on, the others have it still."""
    monkeypatch.setattr("shared.bus.acknowledger.RETRY_SECONDS", (0.01,))
    async with open_bus(valkey) as bus:
        group = Group(bus, "one")
        async with consuming(group.consumer):
            await tell(bus, "bad")
            await tell(bus, "unreadable", body=b"{}")
            await tell(bus, "good")
            await until(lambda: _dead(bus, 2))
            await until(lambda: ("good", 1) in group.heard)
        assert [key_id for key_id, _ in group.heard].count("bad") == 5
        assert await bus.redis.execute("XLEN", EVENTS) == 3
        for letter in await dead_letters(bus.redis):
            assert letter.queue == GrantRevoked.stream
            assert await drop_dead_letter(bus.redis, letter)
        assert await is_quiet(bus)


async def test_the_janitor_trims_only_what_every_group_has_finished(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing younger than a day."""
    async with open_bus(valkey) as bus:
        janitor = Janitor(bus)
        one, two = Group(bus, "one"), Group(bus, "two")
        async with consuming(one.consumer), consuming(two.consumer):
            for number in range(300):
                await tell(bus, str(number))
            await until(lambda: len(one.heard) == len(two.heard) == 300)
            await until(lambda: is_quiet(bus))
        for number in range(300, 600):
            await tell(bus, str(number))
        async with consuming(one.consumer):
            with suppress(TimeoutError):
                await until(lambda: len(one.heard) == 600, 0.1)
        await janitor.clean()
        assert await bus.redis.execute("XLEN", EVENTS) == 600
        monkeypatch.setattr("shared.bus.janitor.LEAST_EVENT_AGE_MS", -1000)
        await janitor.clean()
        left = await bus.redis.execute("XLEN", EVENTS)
        assert 300 <= left < 600
        again = Group(bus, "two")
        async with consuming(again.consumer):
            await until(lambda: len(again.heard) == 300)


@pytest.mark.parametrize("stream", [EVENTS, KEYS])
async def test_a_stream_that_nobody_reads_is_kept_short(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    """It must not fill the memory; once a group is there, nothing is dropped that it has not read."""
    monkeypatch.setattr("shared.bus.janitor.MOST_UNREAD", 100)
    async with open_bus(valkey) as bus:
        for _ in range(500):
            await put(bus, stream, KeysChanged.type)
        await Janitor(bus).clean()
        left = await bus.redis.execute("XLEN", stream)
        assert 100 <= left <= 200
        await bus.redis.execute("XGROUP", "CREATE", stream, "one", "0")
        for _ in range(500):
            await put(bus, stream, KeysChanged.type)
        await Janitor(bus).clean()
        assert await bus.redis.execute("XLEN", stream) == left + 500


async def test_of_many_events_only_what_somebody_must_read_stays(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a number, what every group has read goes however young it is; what one has not read stays."""
    monkeypatch.setattr("shared.bus.janitor.MOST_READ", 100)
    async with open_bus(valkey) as bus:
        for group in ("one", "two"):
            await bus.redis.execute("XGROUP", "CREATE", EVENTS, group, "0", "MKSTREAM")
        for number in range(500):
            await tell(bus, str(number))
        read = ("XREADGROUP", "GROUP", "one", "x", "NOACK", "COUNT", 500, "STREAMS", EVENTS, ">")
        await bus.redis.execute(*read)
        await Janitor(bus).clean()
        assert await bus.redis.execute("XLEN", EVENTS) == 500
        await bus.redis.execute(*("two" if word == "one" else word for word in read))
        await Janitor(bus).clean()
        assert await bus.redis.execute("XLEN", EVENTS) <= 200


async def put(bus: Bus, stream: str, message_type: str, body: bytes = b"{}") -> None:
    """Appends an event of any type, as the relay does."""
    envelope = Envelope(f"id-{message_type}", message_type, "key_issuer", bus.time.now(), body)
    await bus.redis.execute("XADD", stream, "*", *envelope.to_fields())


async def test_what_the_first_release_wrote_for_no_reader_leaves_the_memory(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is one that is read now. While nobody reads it, what is a day old is dropped, and none is made anew."""
    async with open_bus(valkey) as bus:
        await Janitor(bus).clean()
        assert await bus.redis.execute("EXISTS", KEYS) == 0
        await asyncio.gather(*(put(bus, KEYS, "key.issued") for _ in range(500)))
        await Janitor(bus).clean()
        assert await bus.redis.execute("XLEN", KEYS) == 500
        monkeypatch.setattr("shared.bus.janitor.LEAST_EVENT_AGE_MS", -60_000)
        await Janitor(bus).clean()
        assert await bus.redis.execute("XLEN", KEYS) <= 100


async def test_what_is_left_of_it_is_passed_over(valkey: Valkey) -> None:
    """The first reader begins at 0: it acknowledges those types, and nothing else that it does not know."""
    changed = KeysChanged(change="revoked", reason="person", on=1, keys=())
    heard: list[KeysChanged] = []

    async def hear(event: KeysChanged) -> None:
        heard.append(event)

    async with open_bus(valkey) as bus:
        for message_type in ("key.issued", "key.revoked", "key.other"):
            await put(bus, KEYS, message_type)
        await put(bus, KEYS, changed.type, changed.to_wire())
        async with consuming(
            EventConsumer(bus, KeysChanged.stream, "auth_api", [handler(KeysChanged, hear)])
        ):
            await until(lambda: _dead(bus, 1))
            (letter,) = await dead_letters(bus.redis)
            assert (letter.queue, letter.type) == ("events.keys", "key.other")
            await drop_dead_letter(bus.redis, letter)
            await until(lambda: is_quiet(bus))
        assert heard == [changed]
        # The same types elsewhere are as unknown as any other.
        await put(bus, EVENTS, "key.issued")
        async with consuming(Group(bus, "one").consumer):
            await until(lambda: _dead(bus, 1))


async def test_the_janitor_removes_members_that_are_gone_unless_they_hold_something(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XGROUP DELCONSUMER would drop what they hold."""
    monkeypatch.setattr("shared.bus.janitor.GONE_MS", -1)
    async with open_bus(valkey, "key_issuer") as bus:
        await bus.redis.execute("XGROUP", "CREATE", STREAM, "key_issuer", "0", "MKSTREAM")
        await bus.send(Echo(text="held"))
        await bus.redis.execute("XREADGROUP", "GROUP", "key_issuer", "holder", "STREAMS", STREAM, ">")
        await bus.redis.execute("XGROUP", "CREATECONSUMER", STREAM, "key_issuer", "gone")
        await Janitor(bus).clean()
        rows = await bus.redis.execute("XINFO", "CONSUMERS", STREAM, "key_issuer")
        assert [row[1] for row in rows] == [b"holder"]
        async with consuming(echoing(bus, claim_idle_ms=100)):
            await until(lambda: is_quiet(bus))
        await Janitor(bus).clean()
        assert await bus.redis.execute("XINFO", "CONSUMERS", STREAM, "key_issuer") == []


async def test_an_event_that_waits_for_its_next_try_is_handed_on_at_a_stop(valkey: Valkey) -> None:
    """The stop does not wait for the pause; another member takes the event at once."""
    async with open_bus(valkey) as bus, open_bus(valkey) as other:
        failing, well = Group(bus, "one", failures=4), Group(other, "one")
        async with consuming(failing.consumer):
            await tell(bus, "k")
            await until(lambda: len(failing.heard) >= 1)
        async with consuming(well.consumer), asyncio.timeout(12):
            await until(lambda: well.heard == [("k", 1)])


async def _dead(bus: Bus, number: int) -> bool:
    return len(await dead_letters(bus.redis)) == number
