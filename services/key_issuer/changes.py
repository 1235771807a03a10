"""What a person may change of a key: its name, and everything that makes it worth less, or pauses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from services.key_issuer import rules
from services.key_issuer.db.repository import KeyRows
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import shown_status, view_of
from shared.contracts.keys import ChangeKey, KeyChanged, KeyView

NOT_FOUND: Final = KeyChanged(outcome="not_found")


def conflict(field: str, detail: str) -> KeyChanged:
    """Why a change cannot be, by the field's public name."""
    return KeyChanged(outcome="conflict", field=field, detail=detail)


async def change_key(issuer: Issuer, command: ChangeKey) -> KeyChanged:
    """Renames, pauses, resumes, narrows a key or lets it expire sooner; one transaction, told to every verifier."""
    now = issuer.clock.now()

    async def work(rows: KeyRows) -> tuple[KeyChanged, list[str]]:
        row = await rows.fetchrow("lock_key", command.key_id, command.user_id)
        if row is None:
            return NOT_FOUND, []
        before = view_of(row, now)
        refusal = _refusal(before, command)
        if refusal is not None:
            return refusal, []
        after = _applied(before, command)
        events = list(_audit(before, after))
        narrowed = [after.key_id] if any(event != "renamed" for event in events) else []
        if events:
            await write_key(rows, after, checked_otherwise=bool(narrowed), now=now)
            await rows.execute("insert_audit", after.key_id, events, [""] * len(events), now)
        status = shown_status(after.status, after.expires_on, now)
        return KeyChanged(outcome="done", key=after.model_copy(update={"status": status})), narrowed

    return await issuer.narrow(work, "key_issuer.change.committed")


async def write_key(rows: KeyRows, key: KeyView, *, checked_otherwise: bool, now: int) -> None:
    """Writes a locked key's name, status, permissions and expiry; verifiers forget it if they would answer otherwise."""
    await rows.execute(
        "change_key",
        key.key_id,
        key.identifier,
        key.status,
        " ".join(key.permissions),
        key.expires_on,
        int(checked_otherwise),
    )
    if checked_otherwise:
        await rows.append_narrowed(key.key_id, now)


def has_ended(key: KeyView) -> bool:
    """Whether it can no longer be changed or rotated."""
    return key.status in ("revoked", "expired")


def _refusal(before: KeyView, command: ChangeKey) -> KeyChanged | None:
    """The first rule that the change breaks."""
    for field, detail, is_broken in _RULES:
        if is_broken(before, command):
            return conflict(field, detail)
    return None


def _keeps_nothing(_before: KeyView, command: ChangeKey) -> bool:
    return command.permissions is not None and not command.permissions


def _asks_for_more(before: KeyView, command: ChangeKey) -> bool:
    return not set(command.permissions or ()) <= set(before.permissions)


def _lives_longer(before: KeyView, command: ChangeKey) -> bool:
    known, wanted = before.expires_on, command.expires_on
    return known is not None and wanted is not None and wanted > known


def _is_no_time(_before: KeyView, command: ChangeKey) -> bool:
    return command.expires_on is not None and not 0 < command.expires_on < 2**63


def _is_no_name(_before: KeyView, command: ChangeKey) -> bool:
    return command.identifier is not None and not rules.is_text(command.identifier)


_RULES: Final[tuple[tuple[str, str, Callable[[KeyView, ChangeKey], bool]], ...]] = (
    ("status", "this key has ended and can no longer be changed", lambda before, _command: has_ended(before)),
    ("permissions", "at least one permission must stay", _keeps_nothing),
    ("permissions", "a key's permissions can only become fewer", _asks_for_more),
    ("expiresOn", "a key's expiry can only move closer", _lives_longer),
    ("expiresOn", "not a time", _is_no_time),
    ("identifier", "must be text, not empty and not too long", _is_no_name),
)


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
