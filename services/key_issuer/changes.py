"""What a person may do to a key: rename it, make it worth less, pause it, or exchange it for a new one in its grant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from asyncpg import Record

from services.key_issuer.db.repository import KeyRows
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import ROTATED, NarrowingReason, NewKeyRow, shown_status, view_of
from shared.contracts.keys import ChangeKey, IssueKey, KeyChanged, KeyView, RotateKey

LONGEST_OVERLAP: Final = 7 * 24 * 3600
_TEXT: Final = re.compile(r"[^\x00\ud800-\udfff]{1,500}")
_NOT_FOUND: Final = KeyChanged(outcome="not_found")
_NARROWING: Final[Mapping[str, NarrowingReason]] = {
    "narrowed": "permissions",
    "expiry_moved": "expiry",
    "paused": "paused",
}
"""The audit's words for what makes a key worth less, and the public ones; the program hears of nothing else."""


def _conflict(field: str, detail: str) -> KeyChanged:
    """Why a change cannot be, by the field's public name."""
    return KeyChanged(outcome="conflict", field=field, detail=detail)


async def change_key(issuer: Issuer, command: ChangeKey) -> KeyChanged:
    """Renames, pauses, resumes, narrows a key or lets it expire sooner; one transaction, told to every verifier."""
    now = issuer.clock.now()

    async def work(rows: KeyRows) -> tuple[KeyChanged, list[str]]:
        row = await rows.fetchrow("lock_key", command.key_id, command.user_id)
        if row is None:
            return _NOT_FOUND, []
        before = view_of(row, now)
        refusal = _refusal(before, command)
        if refusal is not None:
            return refusal, []
        after = _applied(before, command)
        events = list(_audit(before, after))
        narrowed = [after.key_id] if any(event != "renamed" for event in events) else []
        if events:
            await _write_key(rows, after, checked_otherwise=bool(narrowed), now=now)
            await rows.append_narrowed(
                row, [_NARROWING[event] for event in events if event in _NARROWING], now
            )
            await rows.execute("insert_audit", after.key_id, events, [""] * len(events), now)
        status = shown_status(after.status, after.expires_on, now)
        return KeyChanged(outcome="done", key=after.model_copy(update={"status": status})), narrowed

    return await issuer.narrow(work, "key_issuer.change.committed")


async def _write_key(
    rows: KeyRows, key: KeyView, *, checked_otherwise: bool, now: int, by_rotation: bool = False
) -> None:
    """Writes a locked key's name, status, permissions and expiry; verifiers forget it if they would answer otherwise.

    ``by_rotation``: an expiry that moves is the end of a rotation's overlap.
    """
    await rows.execute(
        "change_key",
        key.key_id,
        key.identifier,
        key.status,
        " ".join(key.permissions),
        key.expires_on,
        int(checked_otherwise),
        by_rotation,
    )
    if checked_otherwise:
        await rows.append_invalidated(key.key_id, now)


def _has_ended(key: KeyView) -> bool:
    """Whether it can no longer be changed or rotated."""
    return key.status in ("revoked", "expired")


def _refusal(before: KeyView, command: ChangeKey) -> KeyChanged | None:
    """The first rule that the change breaks."""
    known, wanted, name = before.expires_on, command.expires_on, command.identifier
    later = known is not None and wanted is not None and wanted > known
    too_much = not set(command.permissions or ()) <= set(before.permissions)
    rules = (
        ("status", "this key has ended and can no longer be changed", _has_ended(before)),
        ("permissions", "at least one permission must stay", command.permissions == ()),
        ("permissions", "a key's permissions can only become fewer", too_much),
        ("expiresOn", "a key's expiry can only move closer", later),
        ("expiresOn", "not a time", wanted is not None and not 0 < wanted < 2**63),
        (
            "identifier",
            "must be text, not empty and not too long",
            name is not None and not _TEXT.fullmatch(name),
        ),
    )
    return next((_conflict(field, detail) for field, detail, is_broken in rules if is_broken), None)


def _applied(before: KeyView, command: ChangeKey) -> KeyView:
    wanted = command.model_dump(include={"identifier", "status", "expires_on"}, exclude_none=True)
    if command.permissions is not None:
        wanted["permissions"] = tuple(name for name in before.permissions if name in command.permissions)
    return before.model_copy(update=wanted)


def _audit(before: KeyView, after: KeyView) -> Sequence[str]:
    """The audit's words for what differs."""
    turned = "paused" if after.status == "paused" else "resumed"
    differences = (
        ("renamed", before.identifier != after.identifier),
        (turned, before.status != after.status),
        ("narrowed", before.permissions != after.permissions),
        ("expiry_moved", before.expires_on != after.expires_on),
    )
    return [event for event, differs in differences if differs]


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
    grants = await rows.lock_grant_of_key(command.key_id, command.user_id)
    made = await rows.fetchrow("lock_key", command.new_key_id, command.user_id)
    row = await rows.fetchrow("lock_key", command.key_id, command.user_id)
    if made is not None and not _has_ended(view_of(made, now)):
        return KeyChanged(outcome="done", key=view_of(made, now)), []
    if row is None:
        return _NOT_FOUND, []
    old = view_of(row, now)
    if _has_ended(old):
        return _conflict("status", "this key has ended and can no longer be rotated"), []
    if made is not None:
        return KeyChanged(outcome="done", key=view_of(made, now)), []
    if command.overlap_seconds > 0 and old.client_id is None:
        held = await rows.count_own_keys([command.user_id], now)
        if held[command.user_id] >= issuer.keys_per_user:
            return _conflict(
                "overlapSeconds", "you have as many keys as you may: only 0 makes no further one"
            ), []
    fresh = _successor(row, command)
    peppers = issuer.peppers
    await rows.insert_keys([NewKeyRow(fresh, peppers.seal(fresh.digest))], peppers.current, now)
    view = old.model_copy(
        update={"key_id": fresh.key_id, "created_on": now, "last_used_on": None, "used_permissions": ()}
    )
    if old.status == "paused":
        await _write_key(rows, view, checked_otherwise=False, now=now)
    narrowed = await _retire(rows, row, old, command.overlap_seconds, now)
    narrowed += await rows.evict(grants, now)  # limits belong to the grant: an overlap cannot double them
    return KeyChanged(outcome="done", key=view), narrowed


def _successor(row: Record, command: RotateKey) -> IssueKey:
    made = {
        "key_id": command.new_key_id,
        "digest": command.new_digest,
        "code_digest": None,
        "origin": "rotation",
    }
    return IssueKey.model_validate({**row, **made}, extra="ignore")


async def _retire(rows: KeyRows, row: Record, old: KeyView, overlap_seconds: int, now: int) -> list[str]:
    """The old key's expiry only ever moves closer. ``row`` is what ``old`` shows."""
    overlap = min(max(overlap_seconds, 0), LONGEST_OVERLAP)
    if overlap == 0:
        return await rows.end_keys([old.key_id], ROTATED, now)
    expires_on = now + overlap * 1000
    if old.expires_on is not None:
        expires_on = min(expires_on, old.expires_on)
    retired = old.model_copy(update={"expires_on": expires_on})
    await _write_key(rows, retired, checked_otherwise=True, now=now, by_rotation=True)
    await rows.append_narrowed(row, [ROTATED], now)
    await rows.execute("insert_audit", old.key_id, ["rotated"], [ROTATED], now)
    return [old.key_id]
