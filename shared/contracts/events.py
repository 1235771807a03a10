"""Events: facts that left a service through its outbox."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from shared.contracts.base import Event

RevocationReason = Literal["client_deleted", "user_disabled", "app_disconnected", "user_ended"]
MOST_PEOPLE: Final = 500
"""In one message."""


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


class PeopleEnded(Event):
    """The site ended people: every key of theirs must end (also after a crash)."""

    type: ClassVar[str] = "people.ended"
    stream: ClassVar[str] = "events.auth"

    user_ids: tuple[int, ...]
    """At most ``MOST_PEOPLE``."""
    before: int
    reason: RevocationReason
