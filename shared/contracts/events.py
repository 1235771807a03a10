"""Events: facts that left a service through its outbox."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from shared.contracts.messages import Event, Message

RevocationReason = Literal["client_deleted", "user_disabled", "app_disconnected", "user_ended"]
MOST_PEOPLE: Final = 500
"""In one message."""
MOST_CHANGED: Final = 50
"""Keys in one message about clients' keys: the longest ids of all of them fit into 64 KiB."""


class KeysInvalidated(Event):
    """Broadcast to every verifier: forget what you know of these keys (revoked, paused, narrowed, sooner expiry).

    Its name on the wire is older than the word: ``KeysChanged`` says which of these it was.
    """

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


class ChangedKey(Message):
    """One key of a client that was revoked, expired or narrowed."""

    key_id: str
    user_id: int
    external_user: str | None = None
    """The person's id at the site, where there is one."""
    client_id: str


class KeysChanged(Event):
    """Keys of clients were revoked, expired or narrowed, at the time ``on``: their programs hear of it by webhook.

    Keys that a person made for themselves are of no client, and keys that never reached a program are not told of.
    """

    type: ClassVar[str] = "keys.changed"
    stream: ClassVar[str] = "events.keys"

    change: Literal["revoked", "expired", "narrowed"]
    reason: str
    """The public word for the cause, as the table of webhooks in the interface lists it (``person``, ``evicted``, …)."""
    on: int
    """Unix milliseconds of the commit."""
    keys: tuple[ChangedKey, ...]
    """At most ``MOST_CHANGED``."""
