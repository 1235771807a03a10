"""What becomes of a command to make a key of which something is known already: pure rules, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from services.key_issuer.records import ABANDONED, EVICTED, IssueFacts
from shared.contracts.keys import IssueKey

Verdict = Literal[
    "make", "make_dead", "stored", "replace", "end_other", "superseded", "withdrawn", "used", "full"
]
"""``make``: a new row. ``make_dead``: a row that is revoked from the start. ``stored``: this very key has its row.

``replace``: another key came out of this code, whose requester has given it up: it gives way. ``end_other``: another
key came out of this code and dies. ``superseded``: this key was given up. ``withdrawn``: the consent has ended.
``used``: refused because of another key that is not to be touched. ``full``: the person has too many keys of their own.
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A command with all that bears upon it: the facts, and up to when consents of its grant are void."""

    command: IssueKey
    facts: IssueFacts
    void_before: int


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
