"""The named queries of schema `auth` against the migrated schema."""

from __future__ import annotations

import asyncpg
import pytest

from services.auth_api.db.repository import QUERIES, SCHEMA
from shared.database import load_queries
from tests.harness.stores import Stores


async def test_every_query_can_be_prepared(stores: Stores) -> None:
    """Each named query is well-formed SQL on the schema as the migrations leave it."""
    connection = await asyncpg.connect(stores.database_url, server_settings={"search_path": SCHEMA})
    try:
        for name, sql in load_queries(QUERIES).items():
            try:
                await connection.prepare(sql)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}")
    finally:
        await connection.close()
