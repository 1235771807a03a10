"""A key expires without anybody doing anything; its program hears of it once, within 10 s, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg
import pytest

from services.key_issuer import expiry
from services.key_issuer.changes import change_key, rotate_key
from services.key_issuer.db.repository import PLANS, QUERIES, SCHEMA
from services.key_issuer.expiry import JITTER, LOOK_SECONDS, report_expired_keys
from services.key_issuer.revocation import revoke_grant, revoke_key
from shared.api_key import MintedKey
from shared.clock import Clock
from shared.contracts.events import KeysChanged
from shared.contracts.keys import ChangeKey, RevokeGrant, RevokeKey, RotateKey
from shared.database import load_queries
from shared.errors import StoreUnavailable
from shared.supervisor import Supervisor
from tests.harness.stores import Servers, fresh_stores
from tests.integration.key_issuer.conftest import (
    Bench,
    command,
    make_database,
    mint,
    open_bench,
    open_desk,
    until,
)
from tests.integration.key_issuer.gate import gate_to
from tests.integration.key_issuer.test_key_events import LATER, events, plain

SOON_MS: Final = 60_000
LATE_MS: Final = 2 * SOON_MS
"""When everything that expires soon has expired."""
QUERY: Final = load_queries(QUERIES)["report_expired_keys"]


@dataclass(frozen=True, slots=True)
class StoppedClock(Clock):
    """It is always the same time."""

    time_ms: int

    def now(self) -> int:
        """Wall time in ms."""
        return self.time_ms

    def monotonic(self) -> float:
        """Seconds."""
        return self.time_ms / 1000


@asynccontextmanager
async def connected(bench: Bench) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """One more process's connection to the tables."""
    connection = await asyncpg.connect(bench.url, server_settings={"search_path": SCHEMA, **PLANS})
    try:
        yield connection
    finally:
        await connection.close()


async def expiring(bench: Bench, **fields: Any) -> MintedKey:
    """A key that lives for a minute."""
    return await bench.make(expires_on=bench.clock.now() + SOON_MS, **fields)


async def rotated(bench: Bench, key: MintedKey, overlap_seconds: int) -> MintedKey:
    """The successor of a key, which lives on for some seconds."""
    new = mint()
    rotate = RotateKey(
        key_id=key.key_id,
        user_id=2,
        overlap_seconds=overlap_seconds,
        new_key_id=new.key_id,
        new_digest=new.digest,
    )
    assert (await rotate_key(bench.issuer, rotate)).outcome == "done"
    return new


async def reported(bench: Bench) -> dict[str, str]:
    """The keys whose expiry was reported, each once, with the reason."""
    found = [(key.key_id, event.reason) for event in await events(bench, "expired") for key in event.keys]
    assert len({key_id for key_id, _ in found}) == len(found)
    return dict(found)


async def test_an_expiry_is_reported_once_it_is_there(bench: Bench) -> None:
    """Of a client's key alone, live or paused, with everything that the event tells of it."""
    key = await expiring(bench, external_issuer="site", external_user="Zoë")
    paused = await expiring(bench)
    await expiring(bench, client_id=None, code_digest=None)
    await bench.make()
    await bench.make(expires_on=LATER)
    await change_key(bench.issuer, ChangeKey(key_id=paused.key_id, user_id=2, status="paused"))
    assert await report_expired_keys(bench.issuer) == 0
    bench.clock.ahead_ms = LATE_MS
    assert await report_expired_keys(bench.issuer) == 2
    assert await report_expired_keys(bench.issuer) == 0
    (event,) = await events(bench, "expired")
    assert event.reason == "expired"
    assert abs(event.on - bench.clock.now()) < 5000
    told = {each.key_id: each.model_dump() for each in event.keys}
    assert set(told) == {key.key_id, paused.key_id}
    assert told[key.key_id] == {
        "key_id": key.key_id,
        "user_id": 2,
        "external_user": "Zoë",
        "client_id": "CXFervidex",
    }


async def test_the_end_of_an_overlap_is_called_by_its_name(bench: Bench) -> None:
    """Where the rotation has set the expiry; not where it was sooner anyway, nor where the person has moved it since."""
    endless, soon, moved, twice = [await bench.make() for _ in range(4)]
    await bench.sql(
        "UPDATE api_keys SET expires_on = $1 WHERE key_id = $2",
        bench.clock.now() + SOON_MS // 2,
        soon.key_id,
    )
    heirs = [await rotated(bench, key, SOON_MS // 1000) for key in (endless, soon, moved, twice)]
    change = ChangeKey(key_id=moved.key_id, user_id=2, expires_on=bench.clock.now() + SOON_MS // 2)
    assert (await change_key(bench.issuer, change)).outcome == "done"
    late_heir = await rotated(bench, twice, LATE_MS // 1000)
    rename = ChangeKey(key_id=endless.key_id, user_id=2, identifier="Old")
    assert (await change_key(bench.issuer, rename)).outcome == "done"
    bench.clock.ahead_ms = LATE_MS
    await report_expired_keys(bench.issuer)
    assert await reported(bench) == {
        endless.key_id: "rotated",
        soon.key_id: "expired",
        heirs[1].key_id: "expired",
        moved.key_id: "expired",
        twice.key_id: "rotated",
        late_heir.key_id: "expired",
    }


@pytest.mark.parametrize("number", [49, 120])
async def test_replicas_that_look_at_once_report_each_expiry_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """At most fifty keys in an event; each statement takes some."""
    monkeypatch.setattr(expiry, "AT_ONCE", 20)
    orders = [
        command(mint(), client_id=f"C{place % 30}", expires_on=bench.clock.now() + SOON_MS)
        for place in range(number)
    ]
    await bench.issue(*orders)
    async with open_bench(bench.url) as second, open_bench(bench.url) as third:
        for each in (bench, second, third):
            each.clock.ahead_ms = LATE_MS
        counts = await asyncio.gather(
            *(report_expired_keys(each.issuer) for each in (bench, second, third, bench, second))
        )
    assert sum(counts) + await report_expired_keys(bench.issuer) == number
    assert await reported(bench) == dict.fromkeys((order.key_id for order in orders), "expired")


async def test_many_that_expire_together_are_reported_fifty_at_a_time(bench: Bench) -> None:
    """As everything else of many keys."""
    orders = [
        command(mint(), client_id=f"C{place}", expires_on=bench.clock.now() + SOON_MS) for place in range(101)
    ]
    await bench.issue(*orders)
    bench.clock.ahead_ms = LATE_MS
    await report_expired_keys(bench.issuer)
    assert [len(event.keys) for event in await events(bench)] == [50, 50, 1]


async def test_a_process_that_dies_while_it_reports_leaves_it_to_the_next(bench: Bench) -> None:
    """Nothing of what it did is there, and while it hangs the others report everything else."""
    held = await expiring(bench)
    bench.clock.ahead_ms = LATE_MS
    async with connected(bench) as dying:
        transaction = dying.transaction()
        await transaction.start()
        assert await dying.fetchval(QUERY, bench.clock.now(), 500) == 1
        bench.clock.ahead_ms = 0
        other = await expiring(bench, user_id=3)
        bench.clock.ahead_ms = LATE_MS
        assert await report_expired_keys(bench.issuer) == 1
        await bench.sql("SELECT pg_terminate_backend($1)", dying.get_server_pid())
    await until(lambda: _reports(bench, 1))
    assert await reported(bench) == {held.key_id: "expired", other.key_id: "expired"}


async def _reports(bench: Bench, number: int) -> bool:
    return await report_expired_keys(bench.issuer) == number


async def test_a_report_whose_answer_is_lost_is_not_made_again(bench: Bench) -> None:
    """PostgreSQL has committed it; the process finds nothing left to do."""
    key = await expiring(bench)
    now = bench.clock.now()
    async with gate_to(bench.url) as gate:
        database = make_database(gate.url, 1)
        try:
            early = replace(bench.issuer, database=database, clock=StoppedClock(now))
            late = replace(early, clock=StoppedClock(now + LATE_MS))
            assert await report_expired_keys(early) == 0  # from here on the statement is prepared
            gate.cut_after((now + LATE_MS).to_bytes(8, "big"))
            with pytest.raises(StoreUnavailable):
                await report_expired_keys(late)
            await until(lambda: _has_events(bench))
            assert await report_expired_keys(late) == 0
        finally:
            await database.stop()
    assert await reported(bench) == {key.key_id: "expired"}


async def _has_events(bench: Bench) -> bool:
    return bool(await events(bench))


async def test_the_loop_goes_on_after_an_outage(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What expires while PostgreSQL is away is reported when it is back; nothing is skipped and nothing comes twice."""
    monkeypatch.setattr(expiry, "LOOK_SECONDS", 0.01)
    keys = [await expiring(bench, user_id=user) for user in (2, 3)]
    now = bench.clock.now()
    supervisor = Supervisor()
    async with gate_to(bench.url) as gate:
        database = make_database(gate.url, 1)
        issuer = replace(bench.issuer, database=database)
        try:
            supervisor.run("expiries", lambda: expiry.run_expiries(issuer))
            await gate.shut()
            bench.clock.ahead_ms = LATE_MS
            with pytest.raises(StoreUnavailable):
                await report_expired_keys(issuer)
            assert await events(bench) == []
            await gate.open()
            await until(lambda: _has_events(bench))
        finally:
            await supervisor.stop()
            await database.stop()
    assert not supervisor.failed
    assert await report_expired_keys(bench.issuer) == 0
    assert await reported(bench) == {key.key_id: "expired" for key in keys}
    assert all(event.on > now + SOON_MS for event in await events(bench))


async def test_an_expiry_that_is_committed_late_is_reported(bench: Bench) -> None:
    """There is no place up to which everything counts as seen."""
    late, now = command(mint()), bench.clock.now()
    early = await expiring(bench)
    async with connected(bench) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            "INSERT INTO api_keys (key_id, digest, pepper_version, user_id, username, client_id, identifier,"
            " permissions, origin, consented_on, created_on, expires_on)"
            " VALUES ($1, $2, 1, 2, 'b', 'C', 'x', '{p}', 'code', $3, $3, $3)",
            late.key_id,
            b"d" * 32,
            now,
        )
        bench.clock.ahead_ms = LATE_MS
        assert await report_expired_keys(bench.issuer) == 1
        await transaction.commit()
    assert await report_expired_keys(bench.issuer) == 1
    assert await reported(bench) == {early.key_id: "expired", late.key_id: "expired"}


async def test_an_expiry_that_is_moved_into_the_past_is_reported(bench: Bench) -> None:
    """However far back; also of a key that a transaction was changing at the first look."""
    keys = [await bench.make(), await expiring(bench)]
    for key in keys:
        await change_key(bench.issuer, ChangeKey(key_id=key.key_id, user_id=2, expires_on=1))
    async with connected(bench) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute("SELECT FROM api_keys WHERE key_id = $1 FOR UPDATE", keys[0].key_id)
        assert await report_expired_keys(bench.issuer) == 1
        await transaction.commit()
    assert await report_expired_keys(bench.issuer) == 1
    assert await reported(bench) == {key.key_id: "expired" for key in keys}


async def test_a_process_whose_clock_is_behind_makes_no_second_report(bench: Bench) -> None:
    """For it the key lives, and its person moves the expiry: that is told, but the end has been."""
    key = await expiring(bench)
    bench.clock.ahead_ms = LATE_MS
    await report_expired_keys(bench.issuer)
    bench.clock.ahead_ms = 0
    sooner = ChangeKey(key_id=key.key_id, user_id=2, expires_on=bench.clock.now() + SOON_MS // 2)
    assert (await change_key(bench.issuer, sooner)).outcome == "done"
    bench.clock.ahead_ms = LATE_MS
    assert await report_expired_keys(bench.issuer) == 0
    assert await reported(bench) == {key.key_id: "expired"}


async def test_the_end_of_a_key_is_reported_once(bench: Bench) -> None:
    """One that has expired and is then revoked, as all keys of an app are, has ended before; else that is its end."""
    first, second = await expiring(bench), await expiring(bench, user_id=3)
    bench.clock.ahead_ms = LATE_MS
    await revoke_key(bench.issuer, RevokeKey(key_id=second.key_id, user_id=None, reason="evicted"))
    assert await report_expired_keys(bench.issuer) == 1
    everything = RevokeGrant(user_id=None, client_id="CXFervidex", before=LATER, reason="client_deleted")
    assert (await revoke_grant(bench.issuer, everything)).found == 1
    assert await report_expired_keys(bench.issuer) == 0
    assert [plain(event) for event in await events(bench)] == [
        ("revoked", "evicted", [second.key_id]),
        ("expired", "expired", [first.key_id]),
    ]


def test_an_expiry_is_noticed_in_time() -> None:
    """The interface allows 10 s; a look that fails is repeated after 2 s at most, and one process may be gone."""
    assert LOOK_SECONDS * (1 + JITTER) * 2 < 8


async def test_the_service_reports_by_itself(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the key that expires to the stream from which auth_api reads, by two replicas."""
    monkeypatch.setattr(expiry, "LOOK_SECONDS", 0.05)
    async with fresh_stores(servers) as stores, open_desk(stores) as desk, open_desk(stores):
        key = await desk.make(expires_on=1)

        async def heard() -> list[KeysChanged]:
            entries = await desk.bus.redis.execute("XRANGE", "lk:{events.keys}", "-", "+")
            fields = [dict(zip(entry[::2], entry[1::2], strict=True)) for _, entry in entries]
            assert all(each[b"t"] == KeysChanged.type.encode() for each in fields)
            return [KeysChanged.from_wire(each[b"d"]) for each in fields]

        async def is_heard() -> bool:
            return bool(await heard())

        await until(is_heard)
        assert [plain(event) for event in await heard()] == [("expired", "expired", [key.key_id])]
