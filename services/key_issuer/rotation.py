"""Exchanging a key for a new one in the same grant, with a time in which both work."""

from __future__ import annotations

from typing import Final

from asyncpg import Record

from services.key_issuer.changes import NOT_FOUND, conflict, has_ended, write_key
from services.key_issuer.db.repository import KeyRows
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import ROTATED, NewKey, view_of
from services.key_issuer.rules import fault_of
from shared.contracts.keys import IssueKey, KeyChanged, KeyView, RotateKey

LONGEST_OVERLAP: Final = 7 * 24 * 3600


async def rotate_key(issuer: Issuer, command: RotateKey) -> KeyChanged:
    """Makes the new key with the old one's name, permissions, consent and expiry; the old one's moves closer.

    Without an overlap the old key is revoked. Safe to deliver twice, however late: as long as one of the two keys lives,
    the answer is the new key, which may have ended meanwhile.
    """
    now = issuer.clock.now()

    async def work(rows: KeyRows) -> tuple[KeyChanged, list[str]]:
        return await _rotate(issuer, rows, command, now)

    return await issuer.narrow(work, "key_issuer.rotate.committed")


async def _rotate(
    issuer: Issuer, rows: KeyRows, command: RotateKey, now: int
) -> tuple[KeyChanged, list[str]]:
    holdings = await rows.lock_holding_of_key(command.key_id, command.user_id)
    made = await rows.fetchrow("lock_key", command.new_key_id, command.user_id)
    row = await rows.fetchrow("lock_key", command.key_id, command.user_id)
    if made is not None and not has_ended(view_of(made, now)):
        return KeyChanged(outcome="done", key=view_of(made, now)), []
    if row is None:
        return NOT_FOUND, []
    old = view_of(row, now)
    if has_ended(old):
        return conflict("status", "this key has ended and can no longer be rotated"), []
    if made is not None:
        return KeyChanged(outcome="done", key=view_of(made, now)), []
    fresh = _successor(row, command)
    fault = fault_of(fresh)
    if fault is not None:
        return conflict("keyID", fault), []
    peppers = issuer.peppers
    await rows.insert_keys([NewKey(fresh, peppers.seal(fresh.digest))], peppers.current, now)
    view = old.model_copy(
        update={"key_id": fresh.key_id, "created_on": now, "last_used_on": None, "used_permissions": ()}
    )
    if old.status == "paused":
        await write_key(rows, view, checked_otherwise=False, now=now)
    narrowed = await _retire(rows, old, command.overlap_seconds, now)
    narrowed += await rows.evict(holdings, now)  # limits belong to the grant: an overlap cannot double them
    return KeyChanged(outcome="done", key=view), narrowed


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


async def _retire(rows: KeyRows, old: KeyView, overlap_seconds: int, now: int) -> list[str]:
    """The old key's expiry only ever moves closer."""
    overlap = min(max(overlap_seconds, 0), LONGEST_OVERLAP)
    if overlap == 0:
        return await rows.end_keys([old.key_id], ROTATED, now)
    expires_on = now + overlap * 1000
    if old.expires_on is not None:
        expires_on = min(expires_on, old.expires_on)
    await write_key(rows, old.model_copy(update={"expires_on": expires_on}), checked_otherwise=True, now=now)
    await rows.execute("insert_audit", old.key_id, ["rotated"], [ROTATED], now)
    return [old.key_id]
