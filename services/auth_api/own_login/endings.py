"""The site ends people: whoever has left it can do nothing here any more, thousands in one request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.auth_api.db.repository import write_event
from services.auth_api.resources import Resources
from services.auth_api.webhooks.recording import record_revoked_grants
from shared.contracts.events import MOST_PEOPLE, PeopleEnded
from shared.contracts.keys import RevokePeople

MOST_IDS: Final = 10_000
_AT_ONCE: Final = 2
"""Transactions beside one another: checks and exchanges of everybody else go on."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of the ids that the site named."""

    people: int
    """Accounts that are closed now, also those that were before."""
    unknown: tuple[str, ...]
    """Ids that nobody here has, in the order in which they were given."""


async def end_external_people(
    resources: Resources, external_ids: Sequence[str], issuer: str | None, *, actor: str, peer: str
) -> Ended:
    """Disables the accounts with these ids, of every issuer or of one; again changes nothing.

    Their sessions, codes and pending requests are over and their keys dead at every verifier when this returns. Every part
    of up to ``MOST_PEOPLE`` is committed together with the event that ends its keys: where this raises after that, they
    end as soon as the services run again. ``actor`` and ``peer`` are for the audit.

    Raises:
        StoreUnavailable: a store or the issuer does not answer; call again.
    """
    rows = await resources.database.fetch("find_external_people", list(external_ids), issuer)
    known = {row["subject"] for row in rows}
    people = sorted({row["user_id"] for row in rows})
    turns = asyncio.Semaphore(_AT_ONCE)

    async def end(part: Sequence[int]) -> None:
        async with turns:
            await _end(resources, part, actor, peer)

    async with asyncio.TaskGroup() as group:
        for first in range(0, len(people), MOST_PEOPLE):
            group.create_task(end(people[first : first + MOST_PEOPLE]))
    unknown = tuple(each for each in dict.fromkeys(external_ids) if each not in known)
    return Ended(len(people), unknown)


async def _end(resources: Resources, user_ids: Sequence[int], actor: str, peer: str) -> None:
    database, now = resources.database, resources.clock.now()
    async with database.transaction() as connection:
        await connection.fetch(database.sql["lock_users"], user_ids)
        await record_revoked_grants(resources, connection, "user_ended", now, user_ids=user_ids)
        last_granted_on = await connection.fetchval(database.sql["disable_users"], user_ids, now, actor, peer)
        ended = PeopleEnded(
            user_ids=tuple(user_ids), before=max(now, last_granted_on or 0), reason="user_ended"
        )
        await write_event(database, connection, ended, now)
    resources.outbox.kick()
    resources.deliveries.kick()
    await resources.codes.revoke_people_before(user_ids, ended.before)
    await resources.bus.request(RevokePeople(**ended.model_dump()))
