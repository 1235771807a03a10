"""Upgrades: earlier releases work on today's schema, since they still run while it is migrated, and their data lives on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from deploy.backup import restore
from deploy.schemas import SCHEMAS
from services.key_issuer.db.repository import MIGRATIONS
from shared.migrations import load_migrations, migrate
from shared.settings import load_settings
from tests.fixtures.releases import PUBLIC_URL, SCHEMA_NAMES, Release, kept
from tests.harness.processes import command
from tests.harness.stack import Stack, serving_stack
from tests.harness.stores import Servers, Stores, fresh_database, fresh_key_space

EVERY_RELEASE = pytest.mark.parametrize("release", kept(), ids=lambda release: release.version)

_COLUMNS = """
SELECT table_name || '.' || column_name, udt_name, is_nullable = 'YES' OR column_default IS NOT NULL
    OR is_identity = 'YES' OR is_generated = 'ALWAYS'
FROM information_schema.columns WHERE table_schema = $1
"""


@asynccontextmanager
async def connected(url: str, schema: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection as a service has it."""
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        yield connection
    finally:
        await connection.close()


async def columns_of(url: str, schema: str) -> dict[str, tuple[str, bool]]:
    """``table.column`` → its type, and whether a row can be made without naming it."""
    async with connected(url, schema) as connection:
        return {name: (kind, optional) for name, kind, optional in await connection.fetch(_COLUMNS, schema)}


@EVERY_RELEASE
def test_steps_of_a_release_stay_as_they_are(release: Release) -> None:
    """What was applied somewhere is never edited; what is new comes after it."""
    for schema in SCHEMAS:
        before = load_migrations(release.migrations(schema.name))
        assert load_migrations(schema.migrations)[: len(before)] == before


@EVERY_RELEASE
@pytest.mark.parametrize("schema", SCHEMA_NAMES)
async def test_queries_of_a_release_work_on_todays_schema(
    stores: Stores, release: Release, schema: str
) -> None:
    """The old version serves while the new one's migrations are applied, and after them until it is replaced."""
    async with connected(stores.database_url, schema) as connection:
        for name, sql in release.queries(schema).items():
            try:
                await connection.prepare(sql)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name} of {release.version}: {error}")


@EVERY_RELEASE
@pytest.mark.parametrize("schema", SCHEMA_NAMES)
async def test_rows_of_a_release_fit_into_todays_schema(
    servers: Servers, stores: Stores, release: Release, schema: str
) -> None:
    """Columns keep their types, and the old version can leave out every one that it does not know."""
    async with fresh_database(servers, migrated=False) as old_url:
        await migrate(old_url, schema, release.migrations(schema))
        old = await columns_of(old_url, schema)
    new = await columns_of(stores.database_url, schema)
    assert {name: kind for name, (kind, _) in old.items()}.items() <= {
        name: kind for name, (kind, _) in new.items()
    }.items()
    required = {name for name, (_, optional) in new.items() if not optional}
    required_before = {name for name, (_, optional) in old.items() if not optional}
    tables = {name.partition(".")[0] for name in old}
    assert {name for name in required if name.partition(".")[0] in tables} <= required_before


async def test_keys_made_by_the_first_release_live_from_their_commit(servers: Servers) -> None:
    """It may run beside this one for a while: what it makes waits for no delivery, so that its sweeper ends nothing."""
    release = Release("0.1.0")
    async with fresh_database(servers) as url, connected(url, "keys") as connection:
        queries = release.queries("keys")
        row = ("k" * 16, b"d" * 32, b"c" * 32, 1, 2, "b", "C", "x", "p", "code", 1, None, None, b"{}")
        await connection.execute(queries["insert_keys"], *([value] for value in row), 1, 1)
        assert await connection.fetch(queries["lock_undelivered_keys"], 2**62, 10) == []
        (key,) = await connection.fetch(queries["list_live_keys"], 2, 1, 10)
        assert key["key_id"] == "k" * 16


@EVERY_RELEASE
async def test_a_backup_of_a_release_is_restored_by_this_one(servers: Servers, release: Release) -> None:
    """It is brought up to date on the way; the key in it is still good, and so is the password."""
    known = release.known()
    async with fresh_database(servers, migrated=False) as url, fresh_key_space(servers) as redis_url:
        with release.backup.open("rb") as stream:
            await restore(load_settings({"LATCHKEY_DATABASE_URL": url}), stream)
        async with serving_stack(Stores(url, redis_url), {"PUBLIC_URL": PUBLIC_URL}) as stack:
            assert (await stack.site.verify(known["key"])).status_code == 200
            person = await stack.site.visitor()
            assert (await person.sign_in(known["username"], known["password"])).status_code == 200
            assert len((await person.http.get("/api/v1/keys")).json()) == 1


async def test_a_step_is_applied_while_keys_are_made(stack: Stack, tmp_path: Path) -> None:
    """No exchange fails for it, nothing is applied twice, and whoever runs `migrate` beside or after it is done at once."""
    steps = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, steps)
    number = len(load_migrations(steps)) + 1
    (steps / f"{number:04d}_colour.sql").write_text("ALTER TABLE api_keys ADD COLUMN colour text;\n")
    person = await stack.site.sign_up()
    client = await person.create_client()
    over, made = asyncio.Event(), [0]

    async def exchange() -> None:
        people = await stack.site.sign_up()
        while not over.is_set():
            given = await people.give_key(client)  # fails unless the answer is 200
            assert (await stack.site.verify(given["access_token"])).status_code == 200
            made[0] += 1

    async def until_made(count: int) -> None:
        while made[0] < count:
            assert not any(each.done() for each in busy)
            await asyncio.sleep(0.01)

    busy = [asyncio.create_task(exchange()) for _ in range(8)]
    url = stack.stores.database_url
    await until_made(20)
    applied = await asyncio.gather(*(migrate(url, "keys", steps) for _ in range(3)))
    again = await asyncio.to_thread(command, "migrate", environ=stack.stores.environment())
    await until_made(made[0] + 20)
    over.set()
    await asyncio.gather(*busy)
    assert sorted(applied) == [(), (), (f"{number:04d}_colour.sql",)]
    assert again == "", "there was nothing left to apply"
    assert await stack.sql("SELECT colour FROM keys.api_keys LIMIT 1") != []
