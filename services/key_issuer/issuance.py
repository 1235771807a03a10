"""Making keys: a batch in one transaction, each at most once whatever is delivered twice or races."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import asyncpg
import structlog

from services.key_issuer import rules
from services.key_issuer.db.repository import KeyRows, issue_unknown_keys
from services.key_issuer.issuer import Issuer
from services.key_issuer.records import (
    ABANDONED,
    EVICTED,
    LIVE_KEYS_PER_HOLDING,
    NOTHING_KNOWN,
    OWN_KEYS,
    REPLAYED,
    SUPERSEDED,
    Holding,
    IssueFacts,
    NewKey,
    name_of,
)
from shared.bus import Refusal
from shared.contracts.keys import IssueKey, IssueKeyReply, KeyView
from shared.database import WARM_CONNECTIONS
from shared.errors import StoreUnavailable
from shared.failpoints import failpoint

_log = structlog.get_logger(__name__)


class NotIssuedError(Exception):
    """PostgreSQL refuses this key, for a reason of which only the name is told: the command is tried again later."""


Outcome = IssueKeyReply | Refusal | NotIssuedError
"""An exception stands for a command that cannot be carried out; no secret in it."""

_ISSUED: Final = IssueKeyReply(outcome="issued")
_USED: Final = IssueKeyReply(outcome="code_already_used")
_SUPERSEDED: Final = IssueKeyReply(outcome="superseded")
_REFUSALS: Final[Mapping[rules.Verdict, IssueKeyReply]] = {
    "used": _USED,
    "superseded": _SUPERSEDED,
    "withdrawn": IssueKeyReply(outcome="consent_withdrawn"),
}


async def issue_keys(issuer: Issuer, commands: Sequence[IssueKey]) -> list[Outcome]:
    """Makes the keys of a batch; one outcome for each command, in their order.

    A command that cannot be carried out spoils no other: then each is tried alone.

    Raises:
        StoreUnavailable: PostgreSQL does not answer; maybe the batch is committed, and asking again tells.
    """
    outcomes: dict[int, Outcome] = {}
    sound: list[int] = []
    for place, command in enumerate(commands):
        fault = rules.fault_of(command)
        if fault is None:
            sound.append(place)
        else:
            outcomes[place] = Refusal(fault)
    while sound:
        first, later = rules.first_of_each([commands[place] for place in sound])
        round_of = [sound[place] for place in first]
        answers = await _issue_round(issuer, [commands[place] for place in round_of])
        outcomes |= zip(round_of, answers, strict=True)
        sound = [sound[place] for place in later]
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


async def _issue_round(issuer: Issuer, commands: Sequence[IssueKey]) -> list[Outcome]:
    try:
        return [*await _issue_batch(issuer, commands)]
    except (asyncpg.PostgresError, ValueError) as error:
        if len(commands) == 1:
            _log.warning("key_not_issued", key_id=commands[0].key_id, reason=type(error).__name__)
            return [NotIssuedError(type(error).__name__)]
    return [outcome for command in commands for outcome in await _issue_round(issuer, [command])]


async def _issue_batch(issuer: Issuer, commands: Sequence[IssueKey]) -> list[IssueKeyReply]:
    replies = await _issue_unknown(issuer, commands)
    if replies is None:
        replies = await _issue_known(issuer, commands)
    await failpoint("key_issuer.issue.committed")
    return replies


async def _issue_unknown(issuer: Issuer, commands: Sequence[IssueKey]) -> list[IssueKeyReply] | None:
    """What nearly every batch is: keys of which nothing is known. ``None`` where something is; nothing is made."""
    if any(command.abandoned for command in commands):
        return None
    now = issuer.clock.now()
    rows = _new_keys(issuer, [(command, None) for command in commands])
    narrowed = await issue_unknown_keys(issuer.database, rows, issuer.peppers.current, now)
    if narrowed is None:
        return None
    issuer.announce(narrowed)
    return [_issued(command, now) for command in commands]


async def _issue_known(issuer: Issuer, commands: Sequence[IssueKey]) -> list[IssueKeyReply]:
    """Step by step, with a judgement on each: a code that comes back, a second delivery, a key that was given up."""

    async def work(rows: KeyRows) -> tuple[list[IssueKeyReply], list[str]]:
        batch = _Batch(issuer, rows, commands)
        replies = await batch.run()
        await failpoint("key_issuer.issue.inserted")
        return replies, batch.narrowed

    return await issuer.narrow(work, "key_issuer.revoke.committed")


def _new_keys(issuer: Issuer, made: Sequence[tuple[IssueKey, str | None]]) -> list[NewKey]:
    """The rows of keys that are made together, each with the reason for which it is born dead, if any."""
    surplus = rules.surplus_at_birth([command for command, end in made if end is None])
    return [
        NewKey(command, issuer.peppers.seal(command.digest), EVICTED if command.key_id in surplus else end)
        for command, end in made
    ]


class _Batch:
    """One transaction's work on commands that share neither key nor code."""

    def __init__(self, issuer: Issuer, rows: KeyRows, commands: Sequence[IssueKey]) -> None:
        self._issuer = issuer
        self._rows = rows
        self._commands = commands
        self._now = issuer.clock.now()
        self._make: list[tuple[IssueKey, str | None]] = []
        self._replace: list[str] = []
        self._end: list[str] = []
        self.narrowed: list[str] = []

    async def run(self) -> list[IssueKeyReply]:
        """Locks, reads, judges, writes."""
        holdings = await self._rows.lock_holdings(rules.holdings_of(self._commands))
        facts = await self._rows.read_issue_facts(self._commands)
        replies = [
            self._decide(self._candidate(place, command, holdings, facts))
            for place, command in enumerate(self._commands)
        ]
        await self._mark_abandoned()
        await self._end_others(self._replace, ABANDONED)
        if self._replace:
            await self._rows.execute("release_codes", self._replace)
        await self._end_others(self._end, REPLAYED)
        if self._make:
            await self._insert()
            await self._evict(holdings)
        return replies

    @staticmethod
    def _candidate(
        place: int,
        command: IssueKey,
        holdings: Mapping[tuple[int, str], Holding],
        facts: Mapping[int, IssueFacts],
    ) -> rules.Candidate:
        known = facts.get(place, NOTHING_KNOWN)
        holding = holdings[command.user_id, command.client_id or OWN_KEYS]
        return rules.Candidate(command, known, max(known.void_before, holding.void_before))

    def _decide(self, candidate: rules.Candidate) -> IssueKeyReply:
        """Notes what is to be written, and says what will be answered."""
        command, other = candidate.command, candidate.facts.key_id or ""
        verdict = rules.judge(candidate)
        if verdict in _REFUSALS:
            return _REFUSALS[verdict]
        if verdict == "stored":
            return _stored_outcome(candidate, self._now)
        if verdict == "end_other":
            self._end.append(other)
            return _USED
        if verdict == "replace":
            self._replace.append(other)
        self._make.append((command, REPLAYED if verdict == "make_dead" else None))
        return _born_dead(command, self._now) if verdict == "make_dead" else _issued(command, self._now)

    async def _mark_abandoned(self) -> None:
        """What is given up stays so, also where its issue is handled later than this one."""
        if abandoned := [key_id for command in self._commands for key_id in command.abandoned]:
            await self._rows.execute("mark_abandoned_keys", abandoned, self._now)

    async def _end_others(self, key_ids: Sequence[str], reason: str) -> None:
        """Their holdings are locked, so nobody else issues from or withdraws them; a lone revocation may."""
        if key_ids:
            live = await self._rows.key_ids("lock_live_keys", key_ids)
            self.narrowed += await self._rows.end_keys(live, reason, self._now)

    async def _insert(self) -> None:
        rows = _new_keys(self._issuer, self._make)
        await self._rows.insert_keys(rows, self._issuer.peppers.current, self._now)

    async def _evict(self, holdings: Mapping[tuple[int, str], Holding]) -> None:
        full = [
            holding
            for holding, state in holdings.items()
            if state.issued > LIVE_KEYS_PER_HOLDING and holding[1] != OWN_KEYS
        ]
        if full:
            users, clients = [user_id for user_id, _ in full], [client_id for _, client_id in full]
            surplus = await self._rows.key_ids(
                "lock_surplus_keys", users, clients, self._now, LIVE_KEYS_PER_HOLDING
            )
            self.narrowed += await self._rows.end_keys(surplus, EVICTED, self._now)


def _issued(command: IssueKey, created_on: int) -> IssueKeyReply:
    """With the key as its owner will see it, where that is wanted."""
    return IssueKeyReply(outcome="issued", key=_view(command, created_on)) if command.shown else _ISSUED


def _view(command: IssueKey, created_on: int) -> KeyView:
    return KeyView(
        key_id=command.key_id,
        identifier=name_of(command),
        permissions=command.permissions,
        client_id=command.client_id,
        created_on=created_on,
        last_used_on=None,
        expires_on=command.expires_on,
        status="active",
    )


def _born_dead(command: IssueKey, created_on: int) -> IssueKeyReply:
    """The key whose code came back before it did: its requester was first all the same, and is told so."""
    dead = _view(command, created_on).model_copy(update={"status": "revoked"})
    return IssueKeyReply(outcome="code_already_used", key=dead)


def _stored_outcome(candidate: rules.Candidate, now: int) -> IssueKeyReply:
    """What the first delivery was answered; a key that ended for a reason of its code is no longer handed out."""
    facts = candidate.facts
    if facts.status == "revoked" and facts.end_reason in (ABANDONED, SUPERSEDED):
        return _SUPERSEDED
    if facts.status == "revoked" and facts.end_reason != EVICTED:
        return _USED
    return _issued(candidate.command, facts.created_on or now)
