"""Where expiries wait to be reported: what an upgrade finds, and that ordinary keys pay nothing for it."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from services.key_issuer.changes import change_key
from services.key_issuer.db.repository import MIGRATIONS, QUERIES, SCHEMA
from services.key_issuer.expiry import report_expired_keys
from services.key_issuer.revocation import revoke_grant
from shared.contracts.keys import ChangeKey, RevokeGrant
from shared.database import load_queries
from shared.errors import StoreUnavailable
from shared.migrations import migrate
from tests.harness.stores import Servers, fresh_database
from tests.integration.key_issuer.conftest import Bench, command, mint, open_bench
from tests.integration.key_issuer.test_expiries import QUERY, StoppedClock, connected, expiring, reported
from tests.integration.key_issuer.test_key_events import LATER, events


async def test_what_expired_before_the_upgrade_is_not_reported(servers: Servers) -> None:
    """Only what expires later, what begins to, and what is moved, be it to a time before the upgrade."""
    async with fresh_database(servers, migrated=False) as url:
        await migrate(url, SCHEMA, MIGRATIONS, last=7)
        connection = await asyncpg.connect(url, server_settings={"search_path": SCHEMA})
        rows = {"old": 1000, "young": LATER, "endless": None, "moved": None, "sooner": LATER}
        for name, expires_on in rows.items():
            await connection.execute(
                "INSERT INTO api_keys (key_id, digest, pepper_version, user_id, username, client_id, identifier,"
                " permissions, origin, consented_on, created_on, expires_on)"
                " VALUES ($1, $2, 1, 2, 'b', 'C', 'x', '{p}', 'code', 1, 1, $3)",
                name,
                b"d" * 32,
                expires_on,
            )
        await migrate(url, SCHEMA, MIGRATIONS)
        await connection.close()
        async with open_bench(url) as bench:
            assert await report_expired_keys(bench.issuer) == 0
            for name in ("moved", "sooner"):
                change = ChangeKey(key_id=name, user_id=2, expires_on=1000)
                assert (await change_key(bench.issuer, change)).outcome == "done"
            assert await report_expired_keys(bench.issuer) == 2
            later = replace(bench.issuer, clock=StoppedClock(LATER))
            assert await report_expired_keys(later) == 1
            assert set(await reported(bench)) == {"moved", "sooner", "young"}
            everything = RevokeGrant(user_id=2, client_id=None, before=LATER, reason="user_ended")
            assert (await revoke_grant(bench.issuer, everything)).found == 5
            (ended,) = await events(bench, "revoked")
            assert [key.key_id for key in ended.keys] == ["endless"]


async def test_a_process_that_is_there_before_the_upgrade_of_the_tables_waits(servers: Servers) -> None:
    """It does not die of a column that comes with the next step."""
    async with fresh_database(servers, migrated=False) as url:
        await migrate(url, SCHEMA, MIGRATIONS, last=7)
        async with open_bench(url) as bench:
            with pytest.raises(StoreUnavailable, match="not migrated"):
                await report_expired_keys(bench.issuer)
            await migrate(url, SCHEMA, MIGRATIONS)
            assert await report_expired_keys(bench.issuer) == 0


async def test_a_look_reads_what_is_due_and_nothing_else(bench: Bench) -> None:
    """An index leads there; keys without an expiry are not in it, so that their issue costs nothing."""
    await bench.issue(*(command(mint(), user_id=user) for user in range(1, 300)))
    pages = "SELECT pg_relation_size('keys.api_keys_to_expire') / current_setting('block_size')::int AS pages"
    assert (await bench.sql(pages))[0]["pages"] == 1, "but the page that every index has"
    await expiring(bench)
    assert (await bench.sql(pages))[0]["pages"] == 2
    async with connected(bench) as connection:
        plan = await connection.fetch(f"EXPLAIN {QUERY}", LATER, 500)
    text = "\n".join(row[0] for row in plan)
    assert "api_keys_to_expire" in text
    assert "Seq Scan" not in text


@pytest.mark.parametrize("expires_on", [None, LATER])
async def test_a_use_changes_no_index(bench: Bench, expires_on: int | None) -> None:
    """It stays in its page, as before there were expiries to report."""
    key = await bench.make(expires_on=expires_on)
    note_uses = load_queries(QUERIES)["note_uses"]
    async with connected(bench) as connection, connection.transaction():
        await connection.execute(note_uses, [key.key_id], [5], ["delete_score"])
        counted = await connection.fetchrow(
            "SELECT pg_stat_get_xact_tuples_updated($1::regclass), pg_stat_get_xact_tuples_hot_updated($1::regclass)",
            "keys.api_keys",
        )
    assert tuple(counted or ()) == (1, 1)
