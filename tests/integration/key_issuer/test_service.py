"""The running service: every command over the bus, events of auth_api, its background tasks, its start and its stop."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientError

from shared.bus import RemoteFailure
from shared.bus.dead_letters import dead_letters, drop_dead_letter
from shared.bus.names import commands
from shared.contracts.events import GrantRevoked
from shared.contracts.keys import (
    ChangeKey,
    ConfirmDelivery,
    IssueKey,
    ListKeys,
    RevokeCode,
    RevokeGrant,
    RevokeKey,
    RevokeToken,
    RotateKey,
    SummarizeUsage,
)
from shared.errors import StoreUnavailable
from tests.harness.stores import Servers, Stores, fresh_stores
from tests.integration.key_issuer.conftest import Desk, command, mint, open_bus, open_desk, until
from tests.integration.key_issuer.gate import gate_to


async def test_the_life_of_a_key_over_the_bus(desk: Desk) -> None:
    """Issued, listed, changed, rotated, summed up and ended."""
    key = await desk.make(user_id=500)
    listed = (await desk.bus.request(ListKeys(user_id=500))).keys
    assert [view.key_id for view in listed] == [key.key_id]
    changed = await desk.bus.request(ChangeKey(key_id=key.key_id, user_id=500, identifier="Mine"))
    assert changed.key is not None
    assert changed.key.identifier == "Mine"
    new = mint()
    rotated = await desk.bus.request(
        RotateKey(
            key_id=key.key_id, user_id=500, overlap_seconds=60, new_key_id=new.key_id, new_digest=new.digest
        )
    )
    assert rotated.outcome == "done"
    assert await desk.check(key.token) == await desk.check(new.token) == 200
    usage = (await desk.bus.request(SummarizeUsage(user_id=500))).clients
    assert [(client.client_id, client.keys) for client in usage] == [("CXFervidex", 2)]
    ended = await desk.bus.request(RevokeToken(key_id=new.key_id, digest=new.digest, client_id="CXFervidex"))
    assert ended.revoked == (new.key_id,)
    everything = RevokeGrant(user_id=500, client_id="CXFervidex", before=2**62, reason="app_disconnected")
    assert (await desk.bus.request(everything)).revoked == (key.key_id,)
    assert await desk.check(key.token) == await desk.check(new.token) == 401


async def test_the_previous_release_is_answered(desk: Desk) -> None:
    """Its auth_api confirms what it has delivered, and cannot read a key that says nothing of that."""
    key = await desk.make(user_id=510)
    await desk.bus.request(ConfirmDelivery(key_ids=(key.key_id,)))
    (listed,) = (await desk.bus.request(ListKeys(user_id=510))).keys
    assert b'"delivered":true' in listed.to_wire()


async def test_fifty_redeems_of_one_code_end_with_one_dead_key(desk: Desk) -> None:
    """AC-02 as the issuer sees it: one issue and 49 replays at once."""
    key = mint()
    order = command(key, user_id=501)
    assert order.code_digest is not None
    assert order.client_id is not None
    replay = RevokeCode(code_digest=order.code_digest, client_id=order.client_id, user_id=501)
    await asyncio.gather(desk.bus.request(order), *(desk.bus.request(replay) for _ in range(49)))
    rows = await desk.sql("SELECT status FROM api_keys WHERE user_id = 501")
    assert [row["status"] for row in rows] == ["revoked"]
    assert await desk.check(key.token) == 401


async def test_poison_in_a_batch_spoils_nothing_else(desk: Desk) -> None:
    """What no sender should send is a dead letter that names the field, and its sender hears of it; the others are made."""
    good = [mint() for _ in range(2)]
    poison: list[dict[str, Any]] = [
        {"identifier": "a\0b"},
        {"code_digest": "no hex"},
        {"user_id": 2**70},
        {"label": ""},
        {"abandoned": ("no key id",)},
        {"binding": {"challenge": "a\0b"}},
    ]
    orders = [command(mint()).model_copy(update=fields) for fields in poison]
    orders = [command(good[0]), *orders, command(good[1])]
    outcomes = await asyncio.gather(*map(desk.bus.request, orders), return_exceptions=True)
    assert [isinstance(outcome, RemoteFailure) for outcome in outcomes] == [False, *[True] * 6, False]
    assert {await desk.check(key.token) for key in good} == {200}
    letters = [letter for letter in await dead_letters(desk.bus.redis) if letter.queue == IssueKey.queue]
    for fields, letter in zip(poison, sorted(letters, key=lambda letter: letter.id), strict=True):
        assert next(iter(fields)) in letter.reason
    for letter in letters:
        assert await drop_dead_letter(desk.bus.redis, letter)


async def test_what_takes_back_waits_behind_no_issue(servers: Servers) -> None:
    """With 4,000 issues before it: a revocation, a pause, and the replay of a code whose own issue comes last of all."""
    async with fresh_stores(servers) as stores, open_bus(stores) as bus:
        async with open_desk(stores) as desk:
            revoked, paused = await desk.make(user_id=700), await desk.make(user_id=700)
        orders = [command(mint(), user_id=700 + number % 400) for number in range(4000)]
        await asyncio.gather(*(bus.send(order) for order in orders))
        last = orders[-1]
        assert last.code_digest is not None
        assert last.client_id is not None
        taking_back = asyncio.gather(
            bus.request(RevokeKey(key_id=revoked.key_id, user_id=700, reason="owner"), 20),
            bus.request(ChangeKey(key_id=paused.key_id, user_id=700, status="paused"), 20),
            bus.request(
                RevokeCode(code_digest=last.code_digest, client_id=last.client_id, user_id=last.user_id), 20
            ),
        )

        async def waiting() -> int:
            length: int = await bus.redis.execute("XLEN", commands("key_issuer"))
            return length

        assert await waiting() == 4000
        async with open_desk(stores) as desk:
            ended, changed, replayed = await taking_back
            assert await waiting() > 1000
            assert (ended.revoked, changed.outcome, replayed.found) == ((revoked.key_id,), "done", 0)

            async def are_made() -> bool:
                return await waiting() == 0

            await until(are_made, 30)
            (row,) = await desk.sql("SELECT end_reason FROM api_keys WHERE key_id = $1", last.key_id)
            assert row["end_reason"] == "code_replayed"


@pytest.mark.parametrize(("user_id", "client_id"), [(600, None), (None, "CXDeleted"), (602, "CXLeft")])
async def test_an_event_of_auth_api_ends_keys(desk: Desk, user_id: int | None, client_id: str | None) -> None:
    """Also where the command was lost in a crash."""
    key = await desk.make(user_id=user_id or 601, client_id=client_id or "CXFervidex", consented_on=1000)
    later = await desk.make(user_id=user_id or 601, client_id=client_id or "CXFervidex", consented_on=1001)
    event = GrantRevoked(user_id=user_id, client_id=client_id, before=1000, reason="user_disabled")
    # Any relay publishes it as auth_api's would.
    await desk.sql(
        "INSERT INTO outbox (stream, type, body, created_on) VALUES ($1, $2, $3, 1)",
        event.stream,
        event.type,
        event.to_wire(),
    )

    async def is_refused() -> bool:
        return await desk.check(key.token) == 401

    await until(is_refused)
    assert await desk.check(later.token) == 200


async def test_a_stop_writes_the_last_uses_and_leaves_the_group(servers: Servers) -> None:
    """Nothing that was noted is lost, nobody waits for a member that is gone."""
    async with fresh_stores(servers) as stores:
        async with open_desk(stores) as desk:
            key = await desk.make()
            assert await desk.check(key.token) == 200

            async def is_written() -> bool:
                return bool(await desk.sql("SELECT FROM api_keys WHERE last_used_on IS NOT NULL"))

            await until(is_written)
            assert await desk.check(key.token, "?permission=delete_score") == 200
        async with open_desk(stores) as desk:
            row = (await desk.sql("SELECT used_permissions FROM api_keys"))[0]
            assert row["used_permissions"] == ["delete_score"]
            await desk.make()  # Redis 7.0 knows a member once it has read something
            members = await desk.bus.redis.execute(
                "XINFO", "CONSUMERS", "lk:{key_issuer:0}:commands", "key_issuer"
            )
            assert len(members) == 1


async def test_it_starts_without_its_stores_and_waits_for_them(stores: Stores) -> None:
    """Alive at once, ready within 10 s of their return."""
    async with gate_to(stores.database_url) as postgres, gate_to(stores.redis_url) as redis:
        await postgres.shut()
        await redis.shut()
        async with open_desk(replace(stores, database_url=postgres.url, redis_url=redis.url)) as desk:

            async def status(path: str) -> int:
                try:
                    async with desk.http.get(desk.url + path) as answer:
                        return answer.status
                except ClientError:
                    return 0

            assert await status("/livez") == 200
            assert await status("/readyz") == 503
            await postgres.open()
            await redis.open()

            async def is_ready() -> bool:
                return await status("/readyz") == 200

            await until(is_ready, 10.0)
            key = mint()

            async def is_made() -> bool:
                try:
                    await desk.bus.send(command(key))
                except (
                    StoreUnavailable
                ):  # our own bus here comes back when it does, sooner or later than theirs
                    return False
                return await desk.check(key.token) == 200

            await until(is_made, 10.0)
