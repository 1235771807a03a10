"""What the issuer knows of keys: why they end, how their rows are shown, and the facts that decide an issue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast

from asyncpg import Record

from shared.contracts.keys import IssueKey, KeyStatus, KeyView

ABANDONED: Final = "abandoned"
"""Why a key ended whose requester had given it up: it reached no program."""
REPLAYED: Final = "code_replayed"
EVICTED: Final = "evicted"
SUPERSEDED: Final = "superseded"
"""Why earlier releases ended a key that its requester had given up."""
LEAKED: Final = "leak_reported"
ROTATED: Final = "rotated"

LIVE_KEYS_PER_GRANT: Final = 10
"""Live or paused keys of one person and client; the oldest goes first."""

OWN_KEYS: Final = ""
"""Stands for the client where a person's own keys are counted."""

RowStatus = Literal["active", "paused", "revoked"]
NarrowingReason = Literal["permissions", "expiry", "paused", "rotated"]
"""The public words for how a key of a client became worth less while it lives on."""


def shown_status(status: str, expires_on: int | None, now: int) -> KeyStatus:
    """What the row's status and the time together mean."""
    if status != "revoked" and expires_on is not None and expires_on <= now:
        return "expired"
    return cast("KeyStatus", status)


def view_of(row: Record, now: int) -> KeyView:
    """A key's row as its owner sees it."""
    shown = {**row, "status": shown_status(row["status"], row["expires_on"], now)}
    return KeyView.model_validate(shown, extra="ignore")


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


@dataclass(frozen=True, slots=True)
class NewKeyRow:
    """A row to be made: the command, its digest under the pepper, and why it is dead already if it is."""

    command: IssueKey
    sealed: bytes
    end_reason: str | None = None
