"""What a person may change of a key: its name, and everything that makes it worth less, or pauses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from asyncpg import Record

from services.key_issuer import rules
from services.key_issuer.db.repository import KeyRows, in_transaction
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import RowStatus
from shared.contracts.events import KeysNarrowed
from shared.contracts.keys import ChangeKey, KeyChanged, KeyStatus, KeyView
from shared.failpoints import failpoint

NOT_FOUND: Final = KeyChanged(outcome="not_found")


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key's row as a change sees it: locked, and the person's own."""

    key_id: str
    client_id: str | None
    identifier: str
    permissions: tuple[str, ...]
    used_permissions: tuple[str, ...]
    status: RowStatus
    created_on: int
    expires_on: int | None
    last_used_on: int | None
    delivered: bool

    def shown(self, now: int) -> KeyView:
        """As its owner sees it."""
        return KeyView(
            key_id=self.key_id,
            identifier=self.identifier,
            permissions=self.permissions,
            client_id=self.client_id,
            created_on=self.created_on,
            last_used_on=self.last_used_on,
            expires_on=self.expires_on,
            status=shown_status(self.status, self.expires_on, now),
            delivered=self.delivered,
            used_permissions=self.used_permissions,
        )


def shown_status(status: RowStatus, expires_on: int | None, now: int) -> KeyStatus:
    """What the row's status and the time together mean."""
    if status != "revoked" and expires_on is not None and expires_on <= now:
        return "expired"
    return status


def state_of(row: Record) -> KeyState:
    """The row that ``lock_key`` found."""
    return KeyState(
        key_id=row["key_id"],
        client_id=row["client_id"],
        identifier=row["identifier"],
        permissions=tuple(row["permissions"]),
        used_permissions=tuple(row["used_permissions"]),
        status=row["status"],
        created_on=row["created_on"],
        expires_on=row["expires_on"],
        last_used_on=row["last_used_on"],
        delivered=row["delivered"],
    )


def conflict(field: str, detail: str) -> KeyChanged:
    """Why a change cannot be, by the field's public name."""
    return KeyChanged(outcome="conflict", field=field, detail=detail)


async def change_key(issuer: Issuer, command: ChangeKey) -> KeyChanged:
    """Renames, pauses, resumes, narrows a key or lets it expire sooner; one transaction, told to every verifier."""
    now = issuer.clock.now()

    async def work(rows: KeyRows) -> tuple[KeyChanged, bool]:
        row = await rows.fetchrow("lock_key", command.key_id, command.user_id)
        if row is None:
            return NOT_FOUND, False
        before = state_of(row)
        refusal = _refusal(before, command, now)
        if refusal is not None:
            return refusal, False
        after = _applied(before, command)
        events = list(_audit(before, after))
        checked_otherwise = any(event != "renamed" for event in events)
        if events:
            await _write(rows, after, events, checked_otherwise=checked_otherwise, now=now)
        return KeyChanged(outcome="done", key=after.shown(now)), checked_otherwise

    changed, checked_otherwise = await in_transaction(issuer.database, work)
    if checked_otherwise:
        issuer.announce([command.key_id])
        await failpoint("key_issuer.change.committed")
    return changed


def _refusal(before: KeyState, command: ChangeKey, now: int) -> KeyChanged | None:
    """The first rule that the change breaks."""
    for field, detail, is_broken in _RULES:
        if is_broken(before, command, now):
            return conflict(field, detail)
    return None


def _has_ended(before: KeyState, _command: ChangeKey, now: int) -> bool:
    return shown_status(before.status, before.expires_on, now) in ("revoked", "expired")


def _keeps_nothing(_before: KeyState, command: ChangeKey, _now: int) -> bool:
    return command.permissions is not None and not command.permissions


def _asks_for_more(before: KeyState, command: ChangeKey, _now: int) -> bool:
    return not set(command.permissions or ()) <= set(before.permissions)


def _lives_longer(before: KeyState, command: ChangeKey, _now: int) -> bool:
    known, wanted = before.expires_on, command.expires_on
    return known is not None and wanted is not None and wanted > known


def _is_no_time(_before: KeyState, command: ChangeKey, _now: int) -> bool:
    return command.expires_on is not None and not 0 < command.expires_on < 2**63


def _is_no_name(_before: KeyState, command: ChangeKey, _now: int) -> bool:
    return command.identifier is not None and not rules.is_text(command.identifier)


_RULES: Final[tuple[tuple[str, str, Callable[[KeyState, ChangeKey, int], bool]], ...]] = (
    ("status", "this key has ended and can no longer be changed", _has_ended),
    ("permissions", "at least one permission must stay", _keeps_nothing),
    ("permissions", "a key's permissions can only become fewer", _asks_for_more),
    ("expiresOn", "a key's expiry can only move closer", _lives_longer),
    ("expiresOn", "not a time", _is_no_time),
    ("identifier", "must be text, not empty and not too long", _is_no_name),
)


def _applied(before: KeyState, command: ChangeKey) -> KeyState:
    kept = before.permissions
    if command.permissions is not None:
        kept = tuple(name for name in before.permissions if name in command.permissions)
    return replace(
        before,
        identifier=before.identifier if command.identifier is None else command.identifier,
        permissions=kept,
        status=before.status if command.status is None else command.status,
        expires_on=before.expires_on if command.expires_on is None else command.expires_on,
    )


def _audit(before: KeyState, after: KeyState) -> Sequence[str]:
    """The audit's words for what differs."""
    turned = "paused" if after.status == "paused" else "resumed"
    differences = (
        ("renamed", before.identifier != after.identifier),
        (turned, before.status != after.status),
        ("narrowed", before.permissions != after.permissions),
        ("expiry_moved", before.expires_on != after.expires_on),
    )
    return [event for event, differs in differences if differs]


async def _write(
    rows: KeyRows, after: KeyState, events: Sequence[str], *, checked_otherwise: bool, now: int
) -> None:
    await rows.execute(
        "change_key",
        after.key_id,
        after.identifier,
        after.status,
        " ".join(after.permissions),
        after.expires_on,
        int(checked_otherwise),
    )
    await rows.execute("insert_audit", after.key_id, events, [""] * len(events), now)
    if checked_otherwise:
        await rows.append_events([KeysNarrowed(key_ids=(after.key_id,), on=now)], now)
