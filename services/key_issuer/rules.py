"""What becomes of a command to make a key: pure rules over what the tables know. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.key_issuer.records import (
    ABANDONED,
    EVICTED,
    LIVE_KEYS_PER_HOLDING,
    OWN_KEYS,
    IssueFacts,
    name_of,
)
from shared.contracts.keys import IssueKey

Verdict = Literal["make", "make_dead", "stored", "replace", "end_other", "superseded", "withdrawn", "used"]
"""``make``: a new row. ``make_dead``: a row that is revoked from the start. ``stored``: this very key has its row.

``replace``: another key came out of this code, whose requester has given it up: it gives way. ``end_other``: another
key came out of this code and dies. ``superseded``: this key was given up. ``withdrawn``: the consent has ended.
``used``: refused because of another key that is not to be touched.
"""

_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{16}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PERMISSIONS: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*", re.ASCII)
_TEXT: Final = re.compile(r"[^\x00\ud800-\udfff]{1,500}")
_PUBLIC_NAME: Final = re.compile(r"[\x21-\x7e]{1,100}", re.ASCII)
_LARGEST: Final = 2**63 - 1
_MOST_ABANDONED: Final = 100
_MOST_BOUND: Final = 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A command with all that bears upon it: the facts, and up to when consents of its holding are void."""

    command: IssueKey
    facts: IssueFacts
    void_before: int


def fault_of(command: IssueKey) -> str | None:
    """What no well-behaved sender would send, named; ``None`` where there is nothing."""
    for name, is_sound in _SOUND:
        if not is_sound(command):
            return name
    return None


def is_text(text: str) -> bool:
    """Whether every store can hold ``text``: not empty, not endless, without NUL and lone surrogates."""
    return _TEXT.fullmatch(text) is not None


def are_permissions(names: Sequence[str]) -> bool:
    """Whether these are scope tokens (RFC 6749 §3.3), at least one."""
    return _PERMISSIONS.fullmatch(" ".join(names)) is not None


def _is_binding(binding: Mapping[str, str]) -> bool:
    return len(binding) <= _MOST_BOUND and all(is_text(f"{name}={value}") for name, value in binding.items())


_SOUND: Final[tuple[tuple[str, Callable[[IssueKey], object]], ...]] = (
    ("key_id is not 16 base62 characters", lambda key: _KEY_ID.fullmatch(key.key_id)),
    ("digest is no SHA-256 in hex", lambda key: _DIGEST.fullmatch(key.digest)),
    (
        "code_digest is no SHA-256 in hex",
        lambda key: key.code_digest is None or _DIGEST.fullmatch(key.code_digest),
    ),
    (
        "abandoned are no key ids or too many",
        lambda key: len(key.abandoned) <= _MOST_ABANDONED and all(map(_KEY_ID.fullmatch, key.abandoned)),
    ),
    ("binding is no text or too long", lambda key: key.binding is None or _is_binding(key.binding)),
    ("user_id is out of range", lambda key: 0 < key.user_id <= _LARGEST),
    ("consented_on is out of range", lambda key: 0 < key.consented_on <= _LARGEST),
    ("expires_on is out of range", lambda key: key.expires_on is None or 0 < key.expires_on <= _LARGEST),
    ("username is not visible ASCII", lambda key: _PUBLIC_NAME.fullmatch(key.username)),
    (
        "client_id is not visible ASCII",
        lambda key: key.client_id is None or _PUBLIC_NAME.fullmatch(key.client_id),
    ),
    ("identifier is empty, too long or not text", lambda key: is_text(name_of(key))),
    ("permissions are missing or no scope tokens", lambda key: are_permissions(key.permissions)),
)


def judge(candidate: Candidate) -> Verdict:
    """The first rule that speaks decides."""
    for rule in _RULES:
        verdict = rule(candidate)
        if verdict is not None:
            return verdict
    return "make"


def _is_stored(candidate: Candidate) -> Verdict | None:
    """A second delivery is answered as the first was: the row is unique on its key id."""
    command, facts = candidate.command, candidate.facts
    if not facts.stored:
        return None
    same = (facts.user_id, facts.client_id) == (command.user_id, command.client_id)
    return "stored" if same else "used"


def _is_abandoned(candidate: Candidate) -> Verdict | None:
    """A requester that gave the key up may have redeemed the code anew: the late issue must not hurt that key."""
    return "superseded" if candidate.facts.abandoned else None


def _is_withdrawn(candidate: Candidate) -> Verdict | None:
    """A consent that ended refuses the keys that are still on their way."""
    return "withdrawn" if candidate.command.consented_on <= candidate.void_before else None


def _is_replayed(candidate: Candidate) -> Verdict | None:
    """The code came back before its key did (RFC 6749 §4.1.2): the row tells that it was, and is dead."""
    return "make_dead" if candidate.facts.replayed and candidate.facts.key_id is None else None


def _is_used(candidate: Candidate) -> Verdict | None:
    """Another key came out of this code: UNIQUE on its digest is the proof."""
    command, facts = candidate.command, candidate.facts
    if facts.key_id is None:
        return None
    if (facts.user_id, facts.client_id) != (command.user_id, command.client_id):
        return "used"
    has_ended = facts.status == "revoked"
    gives_way = not has_ended or facts.end_reason in (ABANDONED, EVICTED)
    if facts.key_id in command.abandoned and gives_way and not facts.replayed:
        return "replace"
    return "used" if has_ended else "end_other"


_RULES: Final[tuple[Callable[[Candidate], Verdict | None], ...]] = (
    _is_stored,
    _is_abandoned,
    _is_withdrawn,
    _is_replayed,
    _is_used,
)


def first_of_each(commands: Sequence[IssueKey]) -> tuple[list[int], list[int]]:
    """The places of commands that share neither key nor code, and of those that must wait for these."""
    first: list[int] = []
    later: list[int] = []
    seen: set[str] = set()
    for place, command in enumerate(commands):
        names = {command.key_id} if command.code_digest is None else {command.key_id, command.code_digest}
        (later if names & seen else first).append(place)
        seen |= names
    return first, later


def holdings_of(commands: Iterable[IssueKey]) -> dict[tuple[int, str], int]:
    """How many keys come into each holding."""
    counts: dict[tuple[int, str], int] = {}
    for command in commands:
        holding = (command.user_id, command.client_id or OWN_KEYS)
        counts[holding] = counts.get(holding, 0) + 1
    return counts


def surplus_at_birth(commands: Sequence[IssueKey]) -> set[str]:
    """The ids of those that newer keys of the same batch and holding push out before anybody can use them."""
    newer: dict[tuple[int, str], int] = {}
    surplus: set[str] = set()
    for command in reversed(commands):
        if command.client_id is not None:
            holding = (command.user_id, command.client_id)
            newer[holding] = newer.get(holding, 0) + 1
            if newer[holding] > LIVE_KEYS_PER_HOLDING:
                surplus.add(command.key_id)
    return surplus
