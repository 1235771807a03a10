"""Exchanging a key for a new one in the same grant."""

from __future__ import annotations

import asyncio

import pytest

from services.key_issuer.changes import change_key, rotate_key
from services.key_issuer.revocation import revoke_grant, revoke_key
from shared.api_key import MintedKey
from shared.contracts.keys import ChangeKey, KeyChanged, RevokeGrant, RevokeKey, RotateKey
from tests.integration.key_issuer.conftest import Bench, mint, open_bench


async def rotate(
    bench: Bench, old: MintedKey, new: MintedKey, overlap: int = 0, user_id: int = 2
) -> KeyChanged:
    """The outcome of an exchange."""
    return await rotate_key(
        bench.issuer,
        RotateKey(
            key_id=old.key_id,
            user_id=user_id,
            overlap_seconds=overlap,
            new_key_id=new.key_id,
            new_digest=new.digest,
        ),
    )


async def test_without_an_overlap_the_old_key_ends(bench: Bench) -> None:
    """The new one has its name, permissions, client and consent."""
    expires_on = bench.clock.now() + 1_000_000
    old, new = await bench.make(expires_on=expires_on, consented_on=77), mint()
    done = await rotate(bench, old, new)
    assert done.key is not None
    assert (done.key.key_id, done.key.identifier, done.key.client_id) == (
        new.key_id,
        "Epic Games",
        "CXFervidex",
    )
    assert done.key.expires_on == expires_on
    assert await bench.status(old.key_id) == "revoked:rotated"
    row = (await bench.sql("SELECT * FROM api_keys WHERE key_id = $1", new.key_id))[0]
    assert (row["origin"], row["consented_on"], row["code_digest"]) == ("rotation", 77, None)
    assert len(await bench.told("keys.narrowed")) == 1


async def test_with_an_overlap_both_work_until_it_ends(bench: Bench) -> None:
    """The old one's expiry moves closer, never away."""
    old, new = await bench.make(), mint()
    await rotate(bench, old, new, overlap=60)
    expires_on = (await bench.sql("SELECT expires_on FROM api_keys WHERE key_id = $1", old.key_id))[0][0]
    assert 0 < expires_on - bench.clock.now() <= 60_000
    await rotate(bench, old, mint(), overlap=3600)
    assert (await bench.sql("SELECT expires_on FROM api_keys WHERE key_id = $1", old.key_id))[0][
        0
    ] == expires_on
    assert sorted(await bench.audit(old.key_id)) == ["issued", "rotated", "rotated"]


async def test_a_second_delivery_makes_no_second_key(bench: Bench) -> None:
    """The row is unique on the new id."""
    old, new = await bench.make(), mint()
    first = await rotate(bench, old, new)
    assert await rotate(bench, old, new) == first
    assert (await bench.sql("SELECT count(*) FROM api_keys"))[0]["count"] == 2


@pytest.mark.parametrize("overlap", [0, 60])
async def test_a_retry_minutes_later_is_answered_with_the_same_key(bench: Bench, overlap: int) -> None:
    """The answer was lost; meanwhile the old key has ended, was pushed out, or its row is gone, the new one was paused."""
    for ending in ("as rotated", "evicted", "purged"):
        old, new = await bench.make(), mint()
        first = await rotate(bench, old, new, overlap)
        assert first.key is not None
        bench.clock.ahead_ms = 600_000
        if ending == "evicted":
            await revoke_key(bench.issuer, RevokeKey(key_id=old.key_id, user_id=2, reason="evicted"))
        if ending == "purged":
            await bench.sql("DELETE FROM api_keys WHERE key_id = $1", old.key_id)
        assert await rotate(bench, old, new, overlap) == first
        await change_key(bench.issuer, ChangeKey(key_id=new.key_id, user_id=2, status="paused"))
        again = await rotate(bench, old, new, overlap)
        assert (again.outcome, again.key and again.key.key_id) == ("done", new.key_id)
        assert again.key is not None
        assert again.key.status == "paused"
        assert (await rotate(bench, old, new, overlap, user_id=3)).outcome == "not_found"
        await revoke_key(bench.issuer, RevokeKey(key_id=new.key_id, user_id=2, reason="owner"))
        assert (await rotate(bench, old, new, overlap)).outcome != "done"
        bench.clock.ahead_ms = 0


async def test_an_overlap_does_not_double_the_limit(bench: Bench) -> None:
    """Limits belong to the grant: the oldest goes first."""
    keys = [await bench.make() for _ in range(10)]
    await rotate(bench, keys[9], mint(), overlap=3600)
    assert await bench.status(keys[0].key_id) == "revoked:evicted"
    live = await bench.sql("SELECT count(*) FROM api_keys WHERE status <> 'revoked'")
    assert live[0]["count"] == 10


async def test_a_paused_key_gives_a_paused_one(bench: Bench) -> None:
    """Rotating is no way to resume."""
    old, new = await bench.make(), mint()
    await change_key(bench.issuer, ChangeKey(key_id=old.key_id, user_id=2, status="paused"))
    done = await rotate(bench, old, new)
    assert done.key is not None
    assert done.key.status == "paused"


async def test_a_key_that_has_ended_or_is_anothers_is_not_rotated(bench: Bench) -> None:
    """Nothing is made."""
    old = await bench.make()
    assert (await rotate(bench, old, mint(), user_id=3)).outcome == "not_found"
    assert (await rotate(bench, mint(), mint())).outcome == "not_found"
    await rotate(bench, old, mint())
    refused = await rotate(bench, old, mint())
    assert (refused.outcome, refused.field) == ("conflict", "status")


async def test_rotating_while_the_grant_ends_leaves_nothing_alive(bench: Bench) -> None:
    """The new key belongs to the old consent."""
    async with open_bench(bench.url) as other:
        for number in range(12):
            now = bench.clock.now()
            old = await bench.make(user_id=number + 10, consented_on=now)
            client = None if number % 2 else "CXFervidex"
            await asyncio.gather(
                rotate(other, old, mint(), overlap=60 * (number % 3), user_id=number + 10),
                revoke_grant(
                    bench.issuer,
                    RevokeGrant(user_id=number + 10, client_id=client, before=now, reason="user_disabled"),
                ),
            )
    live = await bench.sql("SELECT count(*) FROM api_keys WHERE status <> 'revoked'")
    assert live[0]["count"] == 0
