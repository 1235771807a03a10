"""Making keys: a batch in one transaction, each at most once whatever is delivered twice or races."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import asyncpg
import structlog

from services.key_issuer import rules
from services.key_issuer.db.repository import GrantId, Grants, KeyRows, issue_unknown_keys
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import (
    ABANDONED,
    EVICTED,
    LIVE_KEYS_PER_GRANT,
    NOTHING_KNOWN,
    OWN_KEYS,
    REPLAYED,
    SUPERSEDED,
    NewKeyRow,
)
from shared.contracts.keys import IssueKey, IssueKeyReply, KeyView
from shared.database import WARM_CONNECTIONS
from shared.errors import StoreUnavailable
from shared.failpoints import ARMED, failpoint

_log = structlog.get_logger(__name__)


class NotIssuedError(Exception):
    """PostgreSQL refuses this key, and the message is only the name of the reason: the command is tried again later."""


IssueOutcome = IssueKeyReply | NotIssuedError
_Judged = tuple[rules.Verdict, rules.Candidate]

_ISSUED: Final = IssueKeyReply(outcome="issued")
_REFUSALS: Final[Mapping[rules.Verdict, IssueKeyReply]] = {
    "used": IssueKeyReply(outcome="code_already_used"),
    "end_other": IssueKeyReply(outcome="code_already_used"),
    "superseded": IssueKeyReply(outcome="superseded"),
    "withdrawn": IssueKeyReply(outcome="consent_withdrawn"),
    "full": IssueKeyReply(outcome="limit"),
}
_MADE: Final[Mapping[rules.Verdict, str | None]] = {"make": None, "replace": None, "make_dead": REPLAYED}
"""Verdicts that make a row, and why it is dead from the start if it is."""


async def issue_keys(issuer: Issuer, commands: Sequence[IssueKey]) -> list[IssueOutcome]:
    """Makes the keys of a batch; one outcome for each command, in their order.

    A command that cannot be carried out spoils no other: then each is tried alone.
    """
    outcomes: dict[int, IssueOutcome] = {}
    waiting: Sequence[int] = range(len(commands))
    while waiting:
        first, waiting = first_of_each(commands, waiting)
        answers = await _issue_round(issuer, [commands[place] for place in first])
        outcomes |= zip(first, answers, strict=True)
    return [outcomes[place] for place in range(len(commands))]


async def warm_up(issuer: Issuer) -> None:
    """Opens some connections, if PostgreSQL answers, and has it plan on each what an issue asks: an empty batch.

    A process that replaces another is given a full batch at once; doing so only then would cost its requesters' time.
    """
    with suppress(StoreUnavailable, asyncpg.PostgresError):  # the first command will tell
        await asyncio.gather(
            *(
                issue_unknown_keys(issuer.database, [], issuer.peppers.current, issuer.clock.now())
                for _ in range(WARM_CONNECTIONS)
            )
        )


async def _issue_round(issuer: Issuer, commands: Sequence[IssueKey]) -> Sequence[IssueOutcome]:
    try:
        replies = await _issue_unknown(issuer, commands)
        if replies is None:
            replies = await _issue_known(issuer, commands)
    except (asyncpg.PostgresError, ValueError) as error:
        if len(commands) == 1:
            _log.warning("key_not_issued", key_id=commands[0].key_id, reason=type(error).__name__)
            return [NotIssuedError(type(error).__name__)]
        return [outcome for command in commands for outcome in await _issue_round(issuer, [command])]
    if ARMED:
        await failpoint("key_issuer.issue.committed")
    return replies


async def _issue_unknown(issuer: Issuer, commands: Sequence[IssueKey]) -> list[IssueKeyReply] | None:
    """What nearly every batch is: clients' keys of which nothing is known. ``None`` otherwise; nothing is made."""
    if any(command.abandoned or command.client_id is None for command in commands):
        return None
    now = issuer.clock.now()
    rows = _new_keys(issuer, [(command, None) for command in commands])
    narrowed = await issue_unknown_keys(issuer.database, rows, issuer.peppers.current, now)
    if narrowed is None:
        return None
    if narrowed:
        issuer.announce(narrowed)
    return [_issued(command, now) for command in commands]


async def _issue_known(issuer: Issuer, commands: Sequence[IssueKey]) -> list[IssueKeyReply]:
    """Step by step, with a judgement on each: a code that comes back, a second delivery, one key too many."""

    async def work(rows: KeyRows) -> tuple[list[IssueKeyReply], list[str]]:
        now = issuer.clock.now()
        grants = await rows.lock_grants(count_by_grant(commands))
        judged = await _judge(rows, commands, grants)
        own = [command.user_id for command in commands if command.client_id is None]
        if own:
            judged = _limited(judged, await rows.count_own_keys(own, now), issuer.keys_per_user)
        # What is given up stays so, also where its issue is handled later than this one.
        await rows.mark_abandoned([key_id for command in commands for key_id in command.abandoned], now)
        narrowed = await rows.give_up([_other(one) for verdict, one in judged if verdict == "replace"], now)
        replayed = [_other(one) for verdict, one in judged if verdict == "end_other"]
        narrowed += await rows.end_live_keys(replayed, REPLAYED, now)
        made = [(one.command, _MADE[verdict]) for verdict, one in judged if verdict in _MADE]
        if made:
            await rows.insert_keys(_new_keys(issuer, made), issuer.peppers.current, now)
            narrowed += await rows.evict(grants, now)
        if ARMED:
            await failpoint("key_issuer.issue.inserted")
        return [_reply(verdict, one, now) for verdict, one in judged], narrowed

    return await issuer.narrow(work, "key_issuer.revoke.committed")


async def _judge(rows: KeyRows, commands: Sequence[IssueKey], grants: Grants) -> list[_Judged]:
    facts = await rows.read_issue_facts(commands)
    judged: list[_Judged] = []
    for place, command in enumerate(commands):
        known = facts.get(place, NOTHING_KNOWN)
        grant = grants[command.user_id, command.client_id or OWN_KEYS]
        candidate = rules.Candidate(command, known, max(known.void_before, grant["void_before"]))
        judged.append((rules.judge(candidate), candidate))
    return judged


def _limited(judged: Sequence[_Judged], held: Mapping[int, int], most: int) -> list[_Judged]:
    """The verdicts where nobody may have more than ``most`` keys of their own; whoever makes one is waited for."""
    counted = Counter(held)
    limited: list[_Judged] = []
    for verdict, candidate in judged:
        user_id, is_own = candidate.command.user_id, candidate.command.client_id is None
        counted[user_id] += verdict == "make" and is_own
        full = verdict == "make" and is_own and counted[user_id] > most
        limited.append(("full" if full else verdict, candidate))
    return limited


def _other(candidate: rules.Candidate) -> str:
    """The other key that came out of the code."""
    return candidate.facts.key_id or ""


def _new_keys(issuer: Issuer, made: Sequence[tuple[IssueKey, str | None]]) -> list[NewKeyRow]:
    """The rows of keys that are made together, each with the reason for which it is born dead, if any."""
    surplus = surplus_at_birth([command for command, end in made if end is None])
    return [
        NewKeyRow(command, issuer.peppers.seal(command.digest), EVICTED if command.key_id in surplus else end)
        for command, end in made
    ]


def _reply(verdict: rules.Verdict, candidate: rules.Candidate, now: int) -> IssueKeyReply:
    """The answer to the requester.

    A second delivery is answered as the first was, but a key that ended for a reason of its code is no longer handed
    out. Where the code came back before its key did, the requester was first all the same, and the answer names its key.
    """
    command, facts = candidate.command, candidate.facts
    if verdict == "stored" and facts.status == "revoked" and facts.end_reason != EVICTED:
        verdict = "superseded" if facts.end_reason in (ABANDONED, SUPERSEDED) else "used"
    if verdict in _REFUSALS:
        return _REFUSALS[verdict]
    if verdict == "make_dead":
        dead = _view(command, now).model_copy(update={"status": "revoked"})
        return IssueKeyReply(outcome="code_already_used", key=dead)
    return _issued(command, facts.created_on or now if verdict == "stored" else now)


def _issued(command: IssueKey, created_on: int) -> IssueKeyReply:
    """With the key as its owner will see it, where that is wanted."""
    return IssueKeyReply(outcome="issued", key=_view(command, created_on)) if command.shown else _ISSUED


def _view(command: IssueKey, created_on: int) -> KeyView:
    known = {**dict(command), "identifier": command.label or command.identifier, "created_on": created_on}
    return KeyView.model_validate({**known, "last_used_on": None, "status": "active"}, extra="ignore")


def first_of_each(commands: Sequence[IssueKey], places: Sequence[int]) -> tuple[list[int], list[int]]:
    """Of these places those whose commands share neither key nor code, and those that must wait for them."""
    first: list[int] = []
    later: list[int] = []
    seen: set[str] = set()
    for place in places:
        names = {commands[place].key_id, commands[place].code_digest or ""} - {""}
        (later if names & seen else first).append(place)
        seen |= names
    return first, later


def count_by_grant(commands: Sequence[IssueKey]) -> dict[GrantId, int]:
    """How many keys come into each grant."""
    return Counter((command.user_id, command.client_id or OWN_KEYS) for command in commands)


def surplus_at_birth(commands: Sequence[IssueKey]) -> set[str]:
    """The ids of those that newer keys of the same batch and grant push out before anybody can use them."""
    newer: Counter[GrantId] = Counter()
    surplus: set[str] = set()
    for command in reversed(commands):
        if command.client_id is not None:
            grant = (command.user_id, command.client_id)
            newer[grant] += 1
            if newer[grant] > LIVE_KEYS_PER_GRANT:
                surplus.add(command.key_id)
    return surplus
