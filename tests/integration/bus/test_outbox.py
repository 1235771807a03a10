"""The outbox: what a transaction has written reaches its stream, whoever dies between, with the same id every time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from shared.bus import Bus, Supervisor, names, outbox
from shared.bus.outbox import PURGE_AT_ONCE, Heartbeat, OutboxRelay, outbox_status
from shared.contracts.events import GrantRevoked, KeysChanged, KeysInvalidated
from shared.contracts.messages import Envelope, read_fields
from shared.database import Database
from shared.failpoints import FailpointError, parse_failpoints
from tests.harness.stores import Servers, fresh_database
from tests.integration.bus.conftest import Valkey, open_bus, until

SCHEMA = "keys"
INSERT = "INSERT INTO outbox (stream, type, body, created_on) VALUES ($1, $2, $3, 1795456269000)"
EVENTS = names.event_stream(GrantRevoked.stream)


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[Database]:
    """A migrated database of the test's own."""
    async with fresh_database(servers) as url:
        database = Database(url, schema=SCHEMA, queries={}, application_name="tests")
        await database.start()
        yield database
        await database.stop()


async def write(connection: Any, key_id: str) -> None:
    """An event, inside the transaction of whoever calls."""
    event = GrantRevoked(user_id=2, client_id=key_id, before=1, reason="client_deleted")
    await connection.execute(INSERT, event.stream, event.type, event.to_wire())


async def published(bus: Bus) -> list[Envelope]:
    """What is in the stream, in its order."""
    return [read_fields(fields) for _, fields in await bus.redis.execute("XRANGE", EVENTS, "-", "+")]


async def keys(bus: Bus) -> list[str]:
    """Whose revocation is in the stream."""
    return [GrantRevoked.from_wire(envelope.body).client_id or "" for envelope in await published(bus)]


@asynccontextmanager
async def relaying(relay: OutboxRelay) -> AsyncIterator[None]:
    """Runs a relay as a service does."""
    supervisor = Supervisor()
    supervisor.run("relay", relay.run)
    try:
        yield
    finally:
        await supervisor.stop()


async def test_a_kick_publishes_at_once_and_a_look_finds_the_rest(valkey: Valkey, database: Database) -> None:
    """Other processes write too, and nobody kicks for them."""
    async with open_bus(valkey) as bus:
        relay = OutboxRelay(database, bus, SCHEMA)
        async with relaying(relay):
            for key_id in ("a", "b"):
                async with database.transaction() as connection:
                    await write(connection, key_id)
                if key_id == "a":
                    relay.kick()
            await until(lambda: _has(bus, ["a", "b"]))
            await until(lambda: _is_marked(database))
        async with database.connection() as connection:
            status = await outbox_status(connection, SCHEMA, 1_795_456_270_000)  # type: ignore[arg-type]
        assert (status.unpublished, status.oldest_ms) == (0, 0)


async def test_a_transaction_that_commits_late_is_not_passed_over(valkey: Valkey, database: Database) -> None:
    """Two are open, the one with the higher id commits first; what is rolled back is never told."""
    async with open_bus(valkey) as bus, relaying(OutboxRelay(database, bus, SCHEMA)):
        async with database.transaction() as early:
            await write(early, "early")
            async with database.transaction() as late:
                await write(late, "late")
            await until(lambda: _has(bus, ["late"]))
            with suppress(ZeroDivisionError):
                async with database.transaction() as never:
                    await write(never, "never")
                    raise ZeroDivisionError
        await until(lambda: _has(bus, ["late", "early"]))


async def test_a_relay_killed_between_xadd_and_mark_tells_twice_with_one_id(
    valkey: Valkey, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once, and whoever reads it can tell."""
    async with open_bus(valkey) as bus:
        async with database.transaction() as connection:
            await write(connection, "k")
        armed = parse_failpoints("outbox.after_publish_before_mark=raise@1")
        monkeypatch.setattr("shared.failpoints._points", armed)
        monkeypatch.setattr("shared.bus.outbox.ARMED", True)
        with pytest.raises(FailpointError):
            await OutboxRelay(database, bus, SCHEMA).publish()
        assert await OutboxRelay(database, bus, SCHEMA).publish() == 1
        first, second = await published(bus)
        assert first == second


async def test_relays_beside_each_other_do_not_repeat_each_other(valkey: Valkey, database: Database) -> None:
    """Rows that one holds are skipped by the others."""
    async with open_bus(valkey) as bus, open_bus(valkey) as other:
        async with database.transaction() as connection:
            for number in range(1500):
                await write(connection, str(number))
        told = await asyncio.gather(
            *(OutboxRelay(database, each, SCHEMA).publish() for each in (bus, other) * 2)
        )
        assert sum(told) == 1500
        assert sorted(await keys(bus)) == sorted(map(str, range(1500)))


async def test_events_wait_for_redis(valkey: Valkey, database: Database) -> None:
    """They are written down; an outage only delays them."""
    async with open_bus(valkey) as bus, relaying(OutboxRelay(database, bus, SCHEMA)):
        valkey.kill()
        async with database.transaction() as connection:
            await write(connection, "k")
        valkey.start()
        await until(lambda: _has(bus, ["k"]), 20)


async def test_what_a_killed_redis_has_forgotten_is_told_again(valkey: Valkey, database: Database) -> None:
    """Its last second is lost though it was marked as published: the relay does not trust a restart."""
    valkey.kill()
    valkey.start(appendonly="no")
    async with open_bus(valkey) as bus, relaying(OutboxRelay(database, bus, SCHEMA)):
        async with database.transaction() as connection:
            await write(connection, "k")
        await until(lambda: _has(bus, ["k"]))
        await until(lambda: _is_marked(database))
        (before,) = await published(bus)
        valkey.kill()
        valkey.start(appendonly="no")
        await until(lambda: _has(bus, ["k"]), 20)
        assert await published(bus) == [before]


async def test_a_relay_that_starts_tells_the_last_seconds_again(valkey: Valkey, database: Database) -> None:
    """Redis may have been killed while no relay ran; what is older was safe and is not repeated."""
    async with open_bus(valkey) as bus:
        async with database.transaction() as connection:
            await write(connection, "old")
            await write(connection, "young")
        await OutboxRelay(database, bus, SCHEMA).publish()
        async with database.connection() as connection:
            await connection.execute(
                "UPDATE outbox SET published_on = published_on - 60000 WHERE id = (SELECT min(id) FROM outbox)"
            )
        async with relaying(OutboxRelay(database, bus, SCHEMA)):
            await until(lambda: _has(bus, ["old", "young", "young"]))
            await until(lambda: _is_marked(database))


@pytest.mark.parametrize("statement", [outbox._UNMARK, outbox._PURGE], ids=["start", "purge"])
async def test_what_was_published_is_looked_up_by_its_time(database: Database, statement: str) -> None:
    """A start and a purge read what they change, not a day of events: those of a busy site take longer than a statement may."""
    async with database.connection() as connection:
        await connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", 1000, 1000))
    assert "Index Cond: (published_on " in plan, plan


@pytest.mark.parametrize("blow", [("FLUSHALL",), ("DEL", EVENTS)])
async def test_a_stream_that_was_emptied_is_filled_again(
    valkey: Valkey, database: Database, blow: tuple[str, ...]
) -> None:
    """However old its events are: a group that was away had not read them, and keys may have to die of them."""
    async with open_bus(valkey) as bus, relaying(OutboxRelay(database, bus, SCHEMA)):
        for key_id in ("a", "b"):
            async with database.transaction() as connection:
                await write(connection, key_id)
        await until(lambda: _has(bus, ["a", "b"]))
        await until(lambda: _is_marked(database))
        before = await published(bus)
        await _make_old(database)
        await bus.redis.execute(*blow)
        await until(lambda: _has(bus, ["a", "b"]))
        assert await published(bus) == before


async def test_each_service_fills_the_streams_that_it_writes(valkey: Valkey, database: Database) -> None:
    """What key_issuer says of keys comes back by its own relay; another service's does not ask for the stream."""
    event = KeysChanged(change="revoked", reason="person", on=1, keys=())
    stream = names.event_stream(event.stream)

    async def has(bus: Bus, number: int) -> bool:
        return bool(await bus.redis.execute("XLEN", stream) == number)

    async with open_bus(valkey, "key_issuer") as bus, relaying(OutboxRelay(database, bus, SCHEMA)):
        async with database.transaction() as connection:
            await connection.execute(INSERT, event.stream, event.type, event.to_wire())
        await until(lambda: has(bus, 1))
        await until(lambda: _is_marked(database))
        await _make_old(database)
        await bus.redis.execute("DEL", stream)
        await until(lambda: has(bus, 1))
        await until(lambda: _is_marked(database))
    async with open_bus(valkey, "auth_api") as bus:
        await bus.redis.execute("DEL", stream)
        await OutboxRelay(database, bus, SCHEMA)._refill_emptied_streams()
        assert await _is_marked(database)


async def test_a_redis_that_comes_back_empty_is_filled_again(valkey: Valkey, database: Database) -> None:
    """It lost its disk, and no relay ran meanwhile. Once: what is told again is not told for ever."""
    async with open_bus(valkey) as bus:
        async with database.transaction() as connection:
            await write(connection, "a")
        await OutboxRelay(database, bus, SCHEMA).publish()
        await _make_old(database)
        await bus.redis.execute("FLUSHALL")
        async with relaying(OutboxRelay(database, bus, SCHEMA)):
            await until(lambda: _has(bus, ["a"]))
            async with database.transaction() as connection:
                await write(connection, "b")
            await until(lambda: _has(bus, ["a", "b"]))
            await until(lambda: _is_marked(database))


async def _make_old(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE outbox SET published_on = published_on - 3600000")


async def test_a_broadcast_is_trimmed_by_age(valkey: Valkey, database: Database) -> None:
    """Ten minutes: who was away for longer forgets everything it knows."""
    stream = names.event_stream(KeysInvalidated.stream)
    async with open_bus(valkey) as bus:
        for number in range(300):
            await bus.redis.execute("XADD", stream, f"{number + 1}-0", "long", "ago")
        event = KeysInvalidated(key_ids=("k",), on=1)
        async with database.transaction() as connection:
            await connection.execute(INSERT, event.stream, event.type, event.to_wire())
        await OutboxRelay(database, bus, SCHEMA).publish()
        assert await bus.redis.execute("XLEN", stream) < 150


class Hearing:
    """What a process has last heard of the broadcast, and its relay with a heartbeat."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self.last_heard_at = float("-inf")
        event = KeysInvalidated(key_ids=(), on=1)
        heartbeat = Heartbeat(event.stream, lambda _now: event, lambda: self.last_heard_at)
        self.relay = OutboxRelay(database, bus, SCHEMA, heartbeat)


async def _broadcast(bus: Bus) -> list[tuple[str, ...]]:
    """The keys of each entry of the broadcast; none for a heartbeat."""
    entries = await bus.redis.execute("XRANGE", names.event_stream(KeysInvalidated.stream), "-", "+")
    return [KeysInvalidated.from_wire(read_fields(fields).body).key_ids for _, fields in entries]


async def test_a_relay_appends_a_heartbeat_each_second(valkey: Valkey, database: Database) -> None:
    """As long as the broadcast is silent; one without a heartbeat is silent for ever."""
    async with open_bus(valkey) as bus, relaying(Hearing(database, bus).relay):
        began = bus.clock.monotonic()
        await until(lambda: _beats(bus, 4))
        assert 2.9 < bus.clock.monotonic() - began < 8


async def test_a_heartbeat_of_another_relay_will_do(valkey: Valkey, database: Database) -> None:
    """Many relays together append about one a second."""
    async with open_bus(valkey) as bus:
        hearing = Hearing(database, bus)
        hearing.last_heard_at = bus.clock.monotonic()
        await hearing.relay._beat()
        assert await _broadcast(bus) == []
        hearing.last_heard_at -= 1
        await hearing.relay._beat()
        await hearing.relay._beat()
        assert await _broadcast(bus) == [()]


async def test_no_heartbeat_leaves_while_an_event_of_the_broadcast_waits(
    valkey: Valkey, database: Database
) -> None:
    """It vouches for every relay: also for one that hangs with rows that the others skip."""
    async with open_bus(valkey) as bus:
        event = KeysInvalidated(key_ids=("k",), on=1)
        async with database.transaction() as connection:
            await connection.execute(INSERT, event.stream, event.type, event.to_wire())
            await write(connection, "other")
        relay = Hearing(database, bus).relay
        async with database.transaction() as hanging:
            await hanging.execute("SELECT FROM outbox WHERE stream = $1 FOR UPDATE", event.stream)
            assert await relay.publish() == 1
            await relay._beat()
            assert await _broadcast(bus) == []
        assert await relay.publish() == 1
        await relay._beat()
        assert await _broadcast(bus) == [("k",), ()]


async def test_a_purge_leaves_nothing_that_is_old_enough(valkey: Valkey, database: Database) -> None:
    """However many events there were since the last one, and no statement deletes more than some of them."""
    old, young = 10 * PURGE_AT_ONCE, 3
    async with open_bus(valkey) as bus:
        async with database.connection() as connection:
            await connection.execute(
                "INSERT INTO outbox (stream, type, body, created_on, published_on) SELECT 'events.keys', 'key.revoked',"
                " '{}', 0, (extract(epoch FROM now()) * 1000)::bigint - CASE WHEN n <= $1::integer THEN 86400001 ELSE 0 END"
                " FROM generate_series(1, $1::integer + $2::integer) AS n",
                old,
                young,
            )
        relay = OutboxRelay(database, bus, SCHEMA)
        assert await relay._purge_some() == PURGE_AT_ONCE
        await relay._purge()
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM outbox") == young


async def _beats(bus: Bus, number: int) -> bool:
    return (await _broadcast(bus)).count(()) >= number


async def _has(bus: Bus, expected: list[str]) -> bool:
    try:
        return await keys(bus) == expected
    except Exception:  # noqa: BLE001 - the server is on its way
        return False


async def _is_marked(database: Database) -> bool:
    async with database.connection() as connection:
        return not await connection.fetchval("SELECT count(*) FROM outbox WHERE published_on IS NULL")
