"""What a person may change of a key, and that it is worth less at once."""

from __future__ import annotations

from typing import Any

import pytest

from services.key_issuer.changes import change_key
from services.key_issuer.revocation import revoke_key
from shared.api_key import MintedKey
from shared.contracts.keys import ChangeKey, KeyChanged, RevokeKey
from tests.integration.key_issuer.conftest import Bench


async def change(bench: Bench, key: MintedKey, user_id: int = 2, **fields: Any) -> KeyChanged:
    """The outcome of a change."""
    return await change_key(bench.issuer, ChangeKey(key_id=key.key_id, user_id=user_id, **fields))


async def test_a_key_is_paused_and_resumed(bench: Bench) -> None:
    """Both are told to every verifier, and counted by the epoch."""
    key = await bench.make()
    paused = await change(bench, key, status="paused")
    assert paused.key is not None
    assert paused.key.status == "paused"
    resumed = await change(bench, key, status="active")
    assert resumed.key is not None
    assert resumed.key.status == "active"
    assert sorted(await bench.audit(key.key_id)) == ["issued", "paused", "resumed"]
    assert len(await bench.told("keys.narrowed")) == 2
    assert (await bench.sql("SELECT epoch FROM api_keys"))[0]["epoch"] == 2


async def test_a_new_name_is_told_to_nobody(bench: Bench) -> None:
    """A check is answered as before."""
    key = await bench.make()
    renamed = await change(bench, key, identifier="Kitchen tablet 🍳")
    assert renamed.key is not None
    assert renamed.key.identifier == "Kitchen tablet 🍳"
    assert await bench.audit(key.key_id) == ["issued", "renamed"]
    assert await bench.told("keys.narrowed") == []


async def test_the_same_again_changes_nothing(bench: Bench) -> None:
    """A command that is delivered twice leaves one line."""
    key = await bench.make()
    for _ in range(2):
        assert (await change(bench, key, status="paused", permissions=["delete_score"])).outcome == "done"
    assert sorted(await bench.audit(key.key_id)) == ["issued", "narrowed", "paused"]


async def test_permissions_only_become_fewer(bench: Bench) -> None:
    """Never more, never none, and in their old order."""
    key = await bench.make(permissions=("a", "b", "c"))
    fewer = await change(bench, key, permissions=("c", "a"))
    assert fewer.key is not None
    assert fewer.key.permissions == ("a", "c")
    for wanted in (("a", "b"), (), ("d",)):
        refused = await change(bench, key, permissions=wanted)
        assert (refused.outcome, refused.field) == ("conflict", "permissions")
    assert (await bench.sql("SELECT permissions FROM api_keys"))[0]["permissions"] == ["a", "c"]


async def test_expiry_only_moves_closer(bench: Bench) -> None:
    """A key without one may be given one."""
    key = await bench.make()
    later = bench.clock.now() + 1_000_000
    assert (await change(bench, key, expires_on=later)).outcome == "done"
    refused = await change(bench, key, expires_on=later + 1)
    assert (refused.outcome, refused.field) == ("conflict", "expiresOn")
    assert (await change(bench, key, expires_on=later - 1)).outcome == "done"
    now = await change(bench, key, expires_on=bench.clock.now() - 1)
    assert now.key is not None
    assert now.key.status == "expired"


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_a_key_that_has_ended_stays_as_it_is(bench: Bench, end: str) -> None:
    """No change brings it back."""
    key = await bench.make(expires_on=bench.clock.now() + 60_000)
    if end == "revoked":
        await revoke_key(bench.issuer, RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))
    else:
        bench.clock.ahead_ms = 61_000
    for fields in ({"status": "active"}, {"identifier": "x"}, {"expires_on": 1}):
        refused = await change(bench, key, **fields)
        assert (refused.outcome, refused.field) == ("conflict", "status")


async def test_somebody_elses_key_is_not_found(bench: Bench) -> None:
    """And not changed."""
    key = await bench.make()
    assert (await change(bench, key, user_id=3, status="paused")).outcome == "not_found"
    assert await bench.status(key.key_id) == "active"


async def test_a_name_that_no_store_can_hold_is_refused(bench: Bench) -> None:
    """Although the edge has checked it."""
    key = await bench.make()
    refused = await change(bench, key, identifier="a\0b")
    assert (refused.outcome, refused.field) == ("conflict", "identifier")
