"""Standing grants: what a person has consented to, per client.

Everything here raises ``StoreUnavailable`` where PostgreSQL does not answer; then nothing may be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.auth_api.db.repository import named_conflicts, write_audit
from services.auth_api.resources import Resources
from shared.contracts.authorization import MOST_COUNTED


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's standing consent to one client; times are Unix milliseconds."""

    client_id: str
    permissions: tuple[str, ...]
    first_granted_on: int
    granted_on: int


async def find_grant(resources: Resources, user_id: int, client_id: str) -> Grant | None:
    """The standing consent, or ``None``."""
    row = await resources.database.fetchrow("find_grant", user_id, client_id)
    if row is None:
        return None
    return Grant(client_id, tuple(row["permissions"]), row["first_granted_on"], row["granted_on"])


async def count_people(resources: Resources, client_id: str) -> int:
    """How many people have a standing consent to a client, at most ``MOST_COUNTED``."""
    counted: int = await resources.database.fetchval("count_grants", client_id, MOST_COUNTED)
    return counted


async def list_grants(resources: Resources, user_id: int) -> tuple[Grant, ...]:
    """A person's standing consents, last granted first."""
    rows = await resources.database.fetch("list_grants", user_id)
    return tuple(
        Grant(row["client_id"], tuple(row["permissions"]), row["first_granted_on"], row["granted_on"])
        for row in rows
    )


async def record_grant(
    resources: Resources, user_id: int, client_id: str, permissions: Sequence[str], now: int
) -> bool:
    """Adds these permissions to the standing consent; durable when it returns.

    ``False``: the account was disabled meanwhile, nothing was recorded and nothing may be given.

    Raises:
        ClientGoneError: the client was deleted meanwhile.
    """
    database = resources.database
    async with database.transaction() as connection:
        with named_conflicts():
            recorded = await connection.fetchval(
                database.sql["record_grant"], user_id, client_id, list(permissions), now
            )
        if recorded is not None:
            await write_audit(
                database, connection, now, f"user:{user_id}", "grant.given", f"client:{client_id}"
            )
    return recorded is not None
