"""Every named query is one that the migrated schema understands."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from services.key_issuer import db
from services.key_issuer.db.repository import PLANS, QUERIES, SCHEMA
from shared.database import load_queries
from tests.harness.stores import Stores

NAMES = tuple(load_queries(QUERIES))


async def test_every_query_can_be_prepared(stores: Stores) -> None:
    """A renamed column is noticed here, not in production."""
    connection = await asyncpg.connect(stores.database_url, server_settings={"search_path": SCHEMA, **PLANS})
    try:
        for name, sql in load_queries(QUERIES).items():
            try:
                await connection.prepare(sql)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}")
    finally:
        await connection.close()


def test_every_query_is_used() -> None:
    """What nobody runs is not kept."""
    service = Path(db.__file__).parents[1]
    commands = service.parents[1] / "deploy" / "cli"
    sources = [path.read_text() for folder in (service, commands) for path in folder.rglob("*.py")]
    text = "\n".join(sources)
    unused = [
        name
        for name in NAMES
        if not re.search(rf'"{name}"', text) and "_of_" not in name and not name.startswith("void_")
    ]
    assert unused == []


@pytest.mark.parametrize("table", ["api_keys", "audit", "outbox", "service_keys"])
async def test_no_column_could_hold_a_key(stores: Stores, table: str) -> None:
    """There is a digest, sealed, and nothing else of the key."""
    connection = await asyncpg.connect(stores.database_url)
    try:
        rows = await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2",
            SCHEMA,
            table,
        )
    finally:
        await connection.close()
    names = {row["column_name"] for row in rows}
    assert names
    assert not names & {"key", "token", "secret"}
