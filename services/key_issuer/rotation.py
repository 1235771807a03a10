"""Exchanging a key for a new one in the same grant, with a time in which both work."""

from __future__ import annotations

from typing import Final

from asyncpg import Record

from services.key_issuer.changes import NOT_FOUND, KeyState, conflict, shown_status, state_of
from services.key_issuer.db.repository import KeyRows, in_transaction
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import LIVE_KEYS_PER_HOLDING, OWN_KEYS, NewKey
from services.key_issuer.revocation import EVICTED, ROTATED
from services.key_issuer.rules import fault_of
from shared.contracts.events import KeysNarrowed
from shared.contracts.keys import IssueKey, KeyChanged, RotateKey
from shared.failpoints import failpoint

LONGEST_OVERLAP: Final = 7 * 24 * 3600


async def rotate_key(issuer: Issuer, command: RotateKey) -> KeyChanged:
    """Makes the new key with the old one's name, permissions, consent and expiry; the old one's moves closer.

    Without an overlap the old key is revoked. Safe to deliver twice: the row is unique on the new id.
    """
    now = issuer.clock.now()

    async def work(rows: KeyRows) -> tuple[KeyChanged, list[str]]:
        return await _rotate(issuer, rows, command, now)

    changed, narrowed = await in_transaction(issuer.database, work)
    if narrowed:
        issuer.announce(narrowed)
        await failpoint("key_issuer.rotate.committed")
    return changed


async def _rotate(
    issuer: Issuer, rows: KeyRows, command: RotateKey, now: int
) -> tuple[KeyChanged, list[str]]:
    holding = await rows.fetchrow("lock_holding_of_key", command.key_id, command.user_id)
    if holding is None:
        return NOT_FOUND, []
    made = await rows.fetchrow("lock_key", command.new_key_id, command.user_id)
    if made is not None:
        return KeyChanged(outcome="done", key=state_of(made).shown(now)), []
    row = await rows.fetchrow("lock_key", command.key_id, command.user_id)
    assert row is not None, "rows are never deleted"
    old = state_of(row)
    if shown_status(old.status, old.expires_on, now) in ("revoked", "expired"):
        return conflict("status", "this key has ended and can no longer be rotated"), []
    fresh = _successor(row, command)
    fault = fault_of(fresh)
    if fault is not None:
        return conflict("keyID", fault), []
    peppers = issuer.peppers
    await rows.insert_keys([NewKey(fresh, peppers.seal(fresh.digest))], peppers.current, now)
    if old.status == "paused":
        await rows.execute(
            "change_key",
            fresh.key_id,
            fresh.identifier,
            "paused",
            " ".join(fresh.permissions),
            fresh.expires_on,
            0,
        )
    narrowed = await _retire(rows, old, command.overlap_seconds, now)
    narrowed += await _make_room(rows, fresh, now)
    view = await rows.fetchrow("lock_key", fresh.key_id, command.user_id)
    assert view is not None, "it was made above"
    return KeyChanged(outcome="done", key=state_of(view).shown(now)), narrowed


def _successor(row: Record, command: RotateKey) -> IssueKey:
    return IssueKey(
        key_id=command.new_key_id,
        digest=command.new_digest,
        code_digest=None,
        user_id=row["user_id"],
        username=row["username"],
        client_id=row["client_id"],
        identifier=row["identifier"],
        permissions=tuple(row["permissions"]),
        expires_on=row["expires_on"],
        consented_on=row["consented_on"],
        origin="rotation",
    )


async def _retire(rows: KeyRows, old: KeyState, overlap_seconds: int, now: int) -> list[str]:
    """The old key's expiry only ever moves closer."""
    overlap = min(max(overlap_seconds, 0), LONGEST_OVERLAP)
    if overlap == 0:
        await rows.end_keys([old.key_id], ROTATED, now)
        return [old.key_id]
    expires_on = now + overlap * 1000
    if old.expires_on is not None:
        expires_on = min(expires_on, old.expires_on)
    await rows.execute(
        "change_key", old.key_id, old.identifier, old.status, " ".join(old.permissions), expires_on, 1
    )
    await rows.execute("insert_audit", old.key_id, ["rotated"], [ROTATED], now)
    await rows.append_events([KeysNarrowed(key_ids=(old.key_id,), on=now)], now)
    return [old.key_id]


async def _make_room(rows: KeyRows, fresh: IssueKey, now: int) -> list[str]:
    """Limits belong to the grant: an overlap cannot double them."""
    if fresh.client_id is None:
        return []
    surplus = await rows.key_ids(
        "lock_surplus_keys", [fresh.user_id], [fresh.client_id or OWN_KEYS], now, LIVE_KEYS_PER_HOLDING
    )
    return await rows.end_keys(surplus, EVICTED, now)
