"""What the issuer knows of keys: the facts that decide an issue, and the records that checks are answered from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, cast

from asyncpg import Record
from multidict import CIMultiDict, CIMultiDictProxy

from shared.contracts.keys import IssueKey, KeyStatus, KeyView

ABANDONED: Final = "abandoned"
"""Why a key ended whose requester had given it up: it reached no program."""
REPLAYED: Final = "code_replayed"
EVICTED: Final = "evicted"
SUPERSEDED: Final = "superseded"
"""Why earlier releases ended a key that its requester had given up."""
LEAKED: Final = "leak_reported"
ROTATED: Final = "rotated"

LIVE_KEYS_PER_HOLDING: Final = 10
"""Live or paused keys of one person and client; the oldest goes first."""

OWN_KEYS: Final = ""
"""Stands for the client in the holding of a person's own keys."""

RowStatus = Literal["active", "paused", "revoked"]


def shown_status(status: str, expires_on: int | None, now: int) -> KeyStatus:
    """What the row's status and the time together mean."""
    if status != "revoked" and expires_on is not None and expires_on <= now:
        return "expired"
    return cast("KeyStatus", status)


def view_of(row: Record, now: int) -> KeyView:
    """A key's row as its owner sees it."""
    return KeyView(
        key_id=row["key_id"],
        identifier=row["identifier"],
        permissions=tuple(row["permissions"]),
        client_id=row["client_id"],
        created_on=row["created_on"],
        last_used_on=row["last_used_on"],
        expires_on=row["expires_on"],
        status=shown_status(row["status"], row["expires_on"], now),
        used_permissions=tuple(row["used_permissions"]),
    )


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
    status: RowStatus = "active"
    end_reason: str | None = None
    created_on: int | None = None
    replayed: bool = False
    """The code came back before."""
    abandoned: bool = False
    """The key was given up before it was made."""
    void_before: int = 0


NOTHING_KNOWN: Final = IssueFacts()


def name_of(command: IssueKey) -> str:
    """What the new key is called: as the person said, or as its client is."""
    return command.label if command.label is not None else command.identifier


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
