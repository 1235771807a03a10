"""What the issuer knows of keys: the facts that decide an issue, and the records that checks are answered from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from multidict import CIMultiDict, CIMultiDictProxy

from shared.contracts.keys import IssueKey

UNDELIVERED: Final = "undelivered"
"""Why a key ended that nobody was known to hold."""
LIVE_KEYS_PER_HOLDING: Final = 10
"""Live or paused keys of one person and client; the oldest goes first."""

OWN_KEYS: Final = ""
"""Stands for the client in the holding of a person's own keys."""

RowStatus = Literal["active", "paused", "revoked"]


@dataclass(frozen=True, slots=True)
class Holding:
    """What one person gave to one client, locked: keys asked for so far, and up to when its consents are void."""

    issued: int
    void_before: int


@dataclass(frozen=True, slots=True)
class IssueFacts:
    """What the tables know of a key that is about to be made.

    ``stored``: the row of this very key. Otherwise ``key_id`` and what follows tell of another key out of the same
    code, where there is one.
    """

    stored: bool = False
    key_id: str | None = None
    user_id: int | None = None
    client_id: str | None = None
    attempt: int = 0
    status: RowStatus = "active"
    end_reason: str | None = None
    created_on: int | None = None
    undelivered: bool = False
    replayed: bool = False
    void_before: int = 0


NOTHING_KNOWN: Final = IssueFacts()


@dataclass(frozen=True, slots=True)
class NewKey:
    """A row to be made: the command, its digest under the pepper, and why it is dead already if it is."""

    command: IssueKey
    sealed: bytes
    end_reason: str | None = None


@dataclass(slots=True)
class LiveKey:
    """A user's key that was live when it was read; whoever answers from it looks at ``expires_on`` again."""

    key_id: str
    user_id: int
    username: str
    client_id: str | None
    permissions: tuple[str, ...]
    created_on: int
    expires_on: int | None
    used: bool
    """Some check has been written down; the first one is written at once."""
    asked_for: set[str] = field(default_factory=set)
    """Permissions whose use has been noted."""
    granted: frozenset[str] = frozenset()
    headers: CIMultiDictProxy[str] = field(default_factory=lambda: CIMultiDictProxy(CIMultiDict()))
    """The answer of a successful check, made once."""
    facts: bytes | None = None
    """The answer of an introspection, made once."""


@dataclass(slots=True)
class LiveServiceKey:
    """A resource server's key that was live when it was read."""

    key_id: str
    name: str
    permissions: frozenset[str]


LiveRecord = LiveKey | LiveServiceKey
