"""What a person sees of keys: the list, and per client what it holds."""

from __future__ import annotations

from operator import itemgetter
from typing import Final

from asyncpg import Record

from services.key_issuer.issuer import Issuer
from services.key_issuer.records import view_of
from shared.contracts.keys import ClientUsage, KeyList, ListKeys, SummarizeUsage, UsageSummary

MOST_LISTED: Final = 200
ENDED_SHOWN_MS: Final = 30 * 24 * 3600 * 1000
_FIRST: Final = 2**63 - 1
"""Above the number of every key."""


async def list_keys(issuer: Issuer, command: ListKeys) -> KeyList:
    """A person's keys, newest first: live ones and those that ended in the last 30 days.

    At most 200, page by page where the command says after which key; otherwise, where there are more, ended ones give
    way to live ones, which somebody may want to revoke.
    """
    now = issuer.clock.now()
    since = now - ENDED_SHOWN_MS
    if command.after is not None:
        return await _page(issuer, command.user_id, command.after, now, since)
    rows: list[Record] = []
    for query, times in (
        ("list_live_keys", (now,)),
        ("list_expired_keys", (now, since)),
        ("list_ended_keys", (since,)),
    ):
        room = MOST_LISTED - len(rows)
        if room > 0:
            rows += await issuer.database.fetch(query, command.user_id, *times, room)
    rows.sort(key=itemgetter("number"), reverse=True)
    return KeyList(keys=tuple(view_of(row, now) for row in rows))


async def _page(issuer: Issuer, user_id: int, after: str, now: int, since: int) -> KeyList:
    """By the order in which keys were made, which does not change while somebody turns the pages."""
    place = _FIRST
    if after:
        place = await issuer.database.fetchval("find_place", user_id, after)
        if place is None:
            return KeyList(keys=(), found=False)
    rows = await issuer.database.fetch("list_page", user_id, since, place, MOST_LISTED + 1)
    keys = tuple(view_of(row, now) for row in rows[:MOST_LISTED])
    return KeyList(keys=keys, more=len(rows) > MOST_LISTED)


async def summarize_usage(issuer: Issuer, command: SummarizeUsage) -> UsageSummary:
    """Per client with a live or paused key of the person: how many, what they allow, their use."""
    rows = await issuer.database.fetch("summarize_usage", command.user_id, issuer.clock.now())
    return UsageSummary(clients=tuple(ClientUsage.model_validate({**row}) for row in rows))
