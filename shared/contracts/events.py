"""Events: facts that left a service through its outbox."""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.contracts.base import Event

RevocationReason = Literal["client_deleted", "user_disabled", "app_disconnected"]


class KeysInvalidated(Event):
    """Broadcast to every verifier: forget what you know of these keys (revoked, paused, narrowed, sooner expiry)."""

    type: ClassVar[str] = "keys.narrowed"
    stream: ClassVar[str] = "revocations"

    key_ids: tuple[str, ...]
    on: int
    """When the narrowing was committed; the revoke → refused histogram measures from here."""


class GrantRevoked(Event):
    """A client was deleted, a user disabled or an app disconnected: its keys must end (also after a crash)."""

    type: ClassVar[str] = "holding.ended"
    stream: ClassVar[str] = "events.auth"

    user_id: int | None
    client_id: str | None
    before: int
    reason: RevocationReason
