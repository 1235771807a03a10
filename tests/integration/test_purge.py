"""Old rows go, in both schemas, by the server's clock alone; young ones and all of an operator's who says so stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.auth_api.db import repository as auth
from services.key_issuer.db import repository as keys
from shared.database import Database, load_queries
from shared.purge import BATCH, Purge
from tests.harness.stack import serving_stack
from tests.harness.stores import Servers, fresh_database, fresh_stores

DAY_MS = 86_400_000
LINES = {
    "auth": """
        INSERT INTO auth.audit (happened_on, actor, action, subject)
        SELECT (extract(epoch FROM now()) * 1000)::bigint - $1, 'operator', $3, 'user:' || n
        FROM generate_series(1, $2) AS n
    """,
    "keys": """
        INSERT INTO keys.audit (happened_on, event, key_id, reason)
        SELECT (extract(epoch FROM now()) * 1000)::bigint - $1, 'renamed', 'key-' || n, $3
        FROM generate_series(1, $2) AS n
    """,
}
NAMED = {"auth": "action", "keys": "reason"}
SCHEMAS = pytest.mark.parametrize("schema", ["auth", "keys"])


@asynccontextmanager
async def opened(url: str, schema: str) -> AsyncIterator[Database]:
    """The schema as its service has it."""
    queries = auth.QUERIES if schema == "auth" else keys.QUERIES
    plans = {} if schema == "auth" else keys.PLANS
    database = Database(
        url, schema=schema, queries=load_queries(queries), application_name="tests", parameters=plans
    )
    try:
        yield database
    finally:
        await database.stop()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the test's own."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def write(url: str, schema: str, age_ms: int, lines: int, name: str) -> None:
    """Lines of an age, marked by a name."""
    async with connected(url) as connection:
        await connection.execute(LINES[schema], age_ms, lines, name)


async def left(url: str, schema: str) -> dict[str, int]:
    """Name → how many lines."""
    async with connected(url) as connection:
        rows = await connection.fetch(f"SELECT {NAMED[schema]}, count(*) FROM {schema}.audit GROUP BY 1")
    return dict(map(tuple, rows))


@pytest.fixture
async def url(servers: Servers) -> AsyncIterator[str]:
    """A database of the test's own."""
    async with fresh_database(servers) as url:
        yield url


@SCHEMAS
async def test_what_is_too_old_goes(url: str, schema: str) -> None:
    """Batch after batch, to the millisecond of the limit, and nothing younger."""
    await write(url, schema, 30 * DAY_MS + 1, 2 * BATCH + 1, "old")
    await write(url, schema, 30 * DAY_MS - 60_000, BATCH, "young")
    async with opened(url, schema) as database:
        assert await Purge(database, {"purge_audit": 31}).purge() == 0
        assert await Purge(database, {"purge_audit": 30}).purge() == 2 * BATCH + 1
        assert await Purge(database, {"purge_audit": 30}).purge() == 0
    assert await left(url, schema) == {"young": BATCH}


@SCHEMAS
async def test_zero_days_keep_all(url: str, schema: str) -> None:
    """For ever."""
    await write(url, schema, 40_000 * DAY_MS, 3, "ancient")
    async with opened(url, schema) as database:
        assert await Purge(database, {"purge_audit": 0}).purge() == 0
    assert await left(url, schema) == {"ancient": 3}


@SCHEMAS
async def test_replicas_purge_at_once(url: str, schema: str) -> None:
    """Neither waits for ever nor counts what the other one deleted."""
    await write(url, schema, 2 * DAY_MS, 5 * BATCH, "old")
    async with opened(url, schema) as database, opened(url, schema) as other:
        purges = [Purge(each, {"purge_audit": 1}) for each in (database, other) * 2]
        purged = await asyncio.gather(*(purge.purge() for purge in purges))
        purged.append(await purges[0].purge())
    assert sum(purged) == 5 * BATCH
    assert await left(url, schema) == {}


@SCHEMAS
async def test_purging_reads_no_whole_table(url: str, schema: str) -> None:
    """An index leads to the oldest lines."""
    for days in range(20):
        await write(url, schema, days * DAY_MS, BATCH, "line")
    async with opened(url, schema) as database, database.connection() as connection:
        await connection.execute("ANALYZE audit")
        plan = await connection.fetch(f"EXPLAIN {database.sql['purge_audit']}", 1, BATCH)
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan using audit_pkey" in text or "Bitmap Index Scan on audit_by_time" in text
    assert "Seq Scan" not in text


KEYS = """
    INSERT INTO keys.api_keys (
        key_id, digest, code_digest, pepper_version, user_id, username, client_id, identifier, permissions, origin,
        consented_on, created_on, expires_on, status, ended_on, end_reason
    )
    SELECT
        $1 || n, decode(repeat('00', 32), 'hex'), sha256(convert_to($1 || n, 'UTF8')), 1, 2, 'b', 'C', 'x', '{p}', 'code',
        1, 1, (extract(epoch FROM now()) * 1000)::bigint - $2, CASE WHEN $3::bigint IS NULL THEN 'active' ELSE 'revoked' END,
        (extract(epoch FROM now()) * 1000)::bigint - $3, CASE WHEN $3::bigint IS NOT NULL THEN 'owner' END
    FROM generate_series(1, $4) AS n
"""
MARKS = """
    INSERT INTO keys.{} VALUES (
        decode(repeat('00', 32), 'hex'), (extract(epoch FROM now()) * 1000)::bigint - 86400001
    ), (
        decode(repeat('01', 32), 'hex'), (extract(epoch FROM now()) * 1000)::bigint - 86300000
    )
"""


async def test_rows_of_keys_that_ended_long_ago_go(url: str) -> None:
    """Revoked or expired so long ago; not what lives, however old, nor what ended since: a code's second key needs it.

    Nor one of a client whose expiry is still to be reported.
    """
    async with connected(url) as connection:
        for name, expired_ms, ended_ms, number in (
            ("live-", None, None, 10),
            ("later-", -DAY_MS, None, 10),
            ("ended-", None, 30 * DAY_MS + 1, BATCH + 5),
            ("expired-", 30 * DAY_MS + 1, None, 20),
            ("young-", None, 30 * DAY_MS - 60_000, 10),
            ("expired-young-", 30 * DAY_MS - 60_000, None, 10),
            ("expired-then-ended-", 60 * DAY_MS, 30 * DAY_MS - 60_000, 10),
            ("unreported-", 30 * DAY_MS + 1, None, 10),
        ):
            await connection.execute(KEYS, name, expired_ms, ended_ms, number)
        await connection.execute(
            "UPDATE keys.api_keys SET expiry_reported = expires_on WHERE key_id LIKE 'expired-%'"
        )
        async with opened(url, "keys") as database, opened(url, "keys") as other:
            assert await Purge(database, {"purge_ended_keys": 0}).purge() == 0
            purges = [Purge(each, {"purge_ended_keys": 30}) for each in (database, other)]
            purged = await asyncio.gather(*(purge.purge() for purge in purges))
            assert sum(purged) + await purges[0].purge() == BATCH + 25
        rows = await connection.fetch(
            "SELECT DISTINCT rtrim(key_id, '0123456789') AS name FROM keys.api_keys ORDER BY 1"
        )
    left_over = {"live-", "later-", "young-", "expired-young-", "expired-then-ended-", "unreported-"}
    assert {row["name"] for row in rows} == left_over


async def test_purging_keys_reads_no_whole_table(url: str) -> None:
    """An index leads to what ended first; an issue does not pay for it."""
    async with connected(url) as connection:
        await connection.execute(KEYS, "ended-", None, DAY_MS, 2 * BATCH)
        await connection.execute("ANALYZE keys.api_keys")
    async with opened(url, "keys") as database, database.connection() as connection:
        plan = await connection.fetch(f"EXPLAIN {database.sql['purge_ended_keys']}", 1, BATCH)
    text = "\n".join(row[0] for row in plan)
    assert "api_keys_by_end" in text
    assert "Seq Scan" not in text


@pytest.mark.parametrize("table", ["replayed_codes", "abandoned_keys"])
async def test_marks_go_after_a_day(url: str, table: str) -> None:
    """No command that they are for can still be on its way."""
    marks = MARKS.format(table)
    if table == "abandoned_keys":
        marks = marks.replace("decode(repeat('00', 32), 'hex')", "'old'").replace(
            "decode(repeat('01', 32), 'hex')", "'young'"
        )
    async with connected(url) as connection, opened(url, "keys") as database:
        await connection.execute(marks)
        assert await Purge(database, {f"purge_{table}": 1}).purge() == 1
        assert len(await connection.fetch(f"SELECT FROM keys.{table}")) == 1


async def test_both_services_purge_as_the_operator_says(servers: Servers) -> None:
    """From their start on."""
    async with fresh_stores(servers) as stores:
        for schema in LINES:
            await write(stores.database_url, schema, 8 * DAY_MS, 1, "old")
            await write(stores.database_url, schema, 6 * DAY_MS, 1, "young")
        async with connected(stores.database_url) as connection:
            await connection.execute(KEYS, "old-", None, 8 * DAY_MS, 1)
            await connection.execute(KEYS, "young-", None, 6 * DAY_MS, 1)
        days = {"AUDIT_DAYS": "7", "ENDED_KEY_DAYS": "7"}
        async with (
            serving_stack(stores, days),
            asyncio.timeout(60),
            connected(stores.database_url) as connection,
        ):
            for schema in LINES:
                while await left(stores.database_url, schema) != {"young": 1}:
                    await asyncio.sleep(0.02)
            while await connection.fetchval("SELECT count(*) FROM keys.api_keys") != 1:
                await asyncio.sleep(0.02)
