"""The rows of schema `keys` inside one transaction: named queries in, records out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg
import orjson

from services.key_issuer.records import (
    ABANDONED,
    EVICTED,
    LIVE_KEYS_PER_GRANT,
    OWN_KEYS,
    IssueFacts,
    NarrowingReason,
    NewKeyRow,
)
from shared.contracts.events import ChangedKey, KeysChanged, KeysInvalidated
from shared.contracts.keys import IssueKey
from shared.contracts.messages import Event
from shared.database import Database

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

DIRECTORY: Final = Path(__file__).parent
QUERIES: Final = DIRECTORY / "queries.sql"
MIGRATIONS: Final = DIRECTORY / "migrations"
SCHEMA: Final = "keys"

PLANS: Final[Mapping[str, str]] = {
    # Every query here finds few rows by an index. Plans are kept while tables grow from nothing to millions between
    # two runs of ANALYZE, so the planner is not left the choice that is right only for a small table.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    # A process that was stopped in the middle of a transaction must not keep its locks from all others.
    "idle_in_transaction_session_timeout": "5s",
}
"""Server settings of the issuer's connections."""

_TRIES: Final = 4
_COLLISIONS: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)

Record = asyncpg.Record
ResultT = TypeVar("ResultT")
GrantId = tuple[int, str]
"""User and client, ``OWN_KEYS`` for none."""
Grants = Mapping[GrantId, Record]
"""Locked grants: ``issued``, the keys asked for so far, and ``void_before``, up to when their consents are void."""


class KeyRows:
    """One transaction on the keys."""

    def __init__(self, connection: PoolConnectionProxy[Record], sql: Mapping[str, str]) -> None:
        """``sql`` holds the named queries."""
        self._connection = connection
        self._sql = sql

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows of a named query."""
        return await self._connection.fetch(self._sql[query], *args)

    async def fetchrow(self, query: str, *args: object) -> Record | None:
        """The first row of a named query, or ``None``."""
        return await self._connection.fetchrow(self._sql[query], *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first value of a named query, or ``None``."""
        return await self._connection.fetchval(self._sql[query], *args)

    async def execute(self, query: str, *args: object) -> None:
        """Runs a named query."""
        await self._connection.execute(self._sql[query], *args)

    async def lock_grants(self, keys: Mapping[GrantId, int]) -> Grants:
        """Counts the coming keys into their grants and locks those rows in one order."""
        users = [user_id for user_id, _ in keys]
        clients = [client_id for _, client_id in keys]
        return _by_grant(await self.fetch("lock_holdings", users, clients, list(keys.values())))

    async def lock_grant_of_key(self, key_id: str, user_id: int) -> Grants:
        """Counts one more key into the grant that a person's key belongs to and locks that row, if there is one."""
        return _by_grant(await self.fetch("lock_holding_of_key", key_id, user_id))

    async def read_issue_facts(self, commands: Sequence[IssueKey]) -> dict[int, IssueFacts]:
        """What is known of these keys already, by their place; nothing where nothing is known."""
        rows = await self.fetch(
            "read_issue_facts",
            [command.key_id for command in commands],
            [bytes.fromhex(command.code_digest) if command.code_digest else None for command in commands],
            [command.user_id for command in commands],
            [command.client_id or OWN_KEYS for command in commands],
        )
        return {place - 1: IssueFacts(*facts) for place, *facts in rows}

    async def insert_keys(self, rows: Sequence[NewKeyRow], pepper_version: int, now: int) -> None:
        """Makes the rows; one with an ``end_reason`` is revoked from the start."""
        await self.execute("insert_keys", _as_json(rows), pepper_version, now)

    async def end_keys(self, key_ids: Sequence[str], reason: str, now: int) -> list[str]:
        """Revokes keys that this transaction holds, with their events; the ids of those that had not ended before."""
        return await self.key_ids("end_keys", key_ids, now, reason) if key_ids else []

    async def end_live_keys(self, key_ids: Sequence[str], reason: str, now: int) -> list[str]:
        """Locks and revokes those of these keys that have not ended; their ids."""
        return (
            await self.end_keys(await self.key_ids("lock_live_keys", key_ids), reason, now) if key_ids else []
        )

    async def give_up(self, key_ids: Sequence[str], now: int) -> list[str]:
        """Revokes keys that reached no program and takes their codes from them; the ids of those that had not ended."""
        if not key_ids:
            return []
        ended = await self.end_live_keys(key_ids, ABANDONED, now)
        await self.execute("release_codes", key_ids)
        return ended

    async def mark_abandoned(self, key_ids: Sequence[str], now: int) -> None:
        """Remembers keys that were given up, so that an issue of theirs that comes later is refused."""
        if key_ids:
            await self.execute("mark_abandoned_keys", key_ids, now)

    async def evict(self, grants: Grants, now: int) -> list[str]:
        """Ends the oldest keys of grants that hold too many (a person's own are not limited); their ids."""
        full = [
            (user_id, client_id)
            for (user_id, client_id), grant in grants.items()
            if grant["issued"] > LIVE_KEYS_PER_GRANT and client_id != OWN_KEYS
        ]
        if not full:
            return []
        users, clients = zip(*full, strict=True)
        surplus = await self.key_ids("lock_surplus_keys", users, clients, now, LIVE_KEYS_PER_GRANT)
        return await self.end_keys(surplus, EVICTED, now)

    async def count_own_keys(self, users: Sequence[int], now: int) -> dict[int, int]:
        """How many live or paused keys of their own people have; of those who have any."""
        return {row["user_id"]: row["keys"] for row in await self.fetch("count_own_keys", users, now)}

    async def key_ids(self, query: str, *args: object) -> list[str]:
        """The ids that a query finds (and locks, where it says so)."""
        return [row[0] for row in await self.fetch(query, *args)]

    async def append_invalidated(self, key_id: str, now: int) -> None:
        """Puts it into the outbox that this key is worth less now."""
        await self._append(KeysInvalidated(key_ids=(key_id,), on=now), now)

    async def append_narrowed(self, row: Record, reasons: Sequence[NarrowingReason], now: int) -> None:
        """Puts an event into the outbox for each way in which a client's key is worth less now; nobody else's is reported.

        ``row`` is the key's, with ``key_id``, ``user_id``, ``external_user`` and ``client_id``.
        """
        if row["client_id"] is None:
            return
        key = ChangedKey.model_validate(dict(row), extra="ignore")
        for reason in reasons:
            event = KeysChanged(change="narrowed", reason=reason, on=now, keys=(key,))
            await self._append(event, now)

    async def _append(self, event: Event, now: int) -> None:
        await self.execute("append_event", event.stream, event.type, event.to_wire(), now)


async def issue_unknown_keys(
    database: Database, rows: Sequence[NewKeyRow], pepper_version: int, now: int
) -> list[str] | None:
    """Makes rows in one statement, and ends older keys that must make room for them: the ids of those.

    ``None``, and nothing is made, where something is known of one of them or another transaction got in the way.

    Raises:
        asyncpg.PostgresError: one of them cannot be made.
    """
    with suppress(*_COLLISIONS):
        found: list[str] | None = await database.fetchval(
            "issue_unknown_keys", _as_json(rows), pepper_version, now, LIVE_KEYS_PER_GRANT
        )
        return found
    return None


async def in_transaction(database: Database, work: Callable[[KeyRows], Awaitable[ResultT]]) -> ResultT:
    """Runs ``work`` in one transaction; again, after a moment, where another transaction got in its way.

    Locks are taken in one order, so this is for what nobody thought of: the requester never sees it.

    Raises:
        asyncpg.PostgresError: the work cannot be done, however often.
    """
    for tries in range(1, _TRIES + 1):
        try:
            async with database.transaction() as connection:
                return await work(KeyRows(connection, database.sql))
        except _COLLISIONS:
            if tries == _TRIES:
                raise
        await asyncio.sleep(random.uniform(0, 0.02) * tries)  # noqa: S311 - jitter, no secret
    raise AssertionError("unreachable")


def _by_grant(rows: Sequence[Record]) -> Grants:
    return {(row["user_id"], row["client_id"]): row for row in rows}


def _as_json(rows: Sequence[NewKeyRow]) -> str:
    """Keys as the type ``new_key`` of the schema reads them."""
    return orjson.dumps([_row_of(row) for row in rows]).decode()


def _row_of(row: NewKeyRow) -> dict[str, object]:
    """One key; digests in hex."""
    command = row.command
    return {
        "key_id": command.key_id,
        "digest": row.sealed.hex(),
        "code_digest": command.code_digest,
        "binding": command.binding,
        "user_id": command.user_id,
        "username": command.username,
        "external_issuer": command.external_issuer,
        "external_user": command.external_user,
        "client_id": command.client_id,
        "identifier": command.label or command.identifier,
        "permissions": " ".join(command.permissions),
        "origin": command.origin,
        "consented_on": command.consented_on,
        "expires_on": command.expires_on,
        "end_reason": row.end_reason,
    }
