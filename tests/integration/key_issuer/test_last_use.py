"""When keys were last used and for what, written in batches."""

from __future__ import annotations

import asyncio

from services.key_issuer.last_use import LastUse
from services.key_issuer.verification import LiveKey
from shared.api_key import MintedKey
from tests.integration.key_issuer.conftest import Bench, until, verifier_of

NOTHING: frozenset[str] = frozenset()


async def use(bench: Bench, notes: LastUse, key: MintedKey, *wanted: str) -> LiveKey:
    """A check that is answered yes."""
    found = await verifier_of(bench.issuer).live_key(key.token)
    assert found is not None
    notes.note(found, bench.clock.now(), frozenset(wanted))
    return found


async def test_uses_and_permissions_are_written_together(bench: Bench) -> None:
    """The latest time wins and permissions add up."""
    key, unused = await bench.make(), await bench.make()
    notes = LastUse(bench.issuer)
    await use(bench, notes, key, "customise_score")
    await use(bench, notes, key, "delete_score")
    await use(bench, notes, key)
    before = bench.clock.now()
    await notes.write()
    row = (
        await bench.sql("SELECT last_used_on, used_permissions FROM api_keys WHERE key_id = $1", key.key_id)
    )[0]
    assert row["used_permissions"] == ["customise_score", "delete_score"]
    assert 0 <= before - row["last_used_on"] < 5000
    row = (await bench.sql("SELECT last_used_on FROM api_keys WHERE key_id = $1", unused.key_id))[0]
    assert row["last_used_on"] is None
    bench.clock.ahead_ms = -60_000
    await use(bench, notes, key)
    await notes.write()
    row = (await bench.sql("SELECT last_used_on FROM api_keys WHERE key_id = $1", key.key_id))[0]
    assert before - row["last_used_on"] < 5000


async def test_the_first_use_is_written_within_a_second(bench: Bench) -> None:
    """A person who looks at the page sees it."""
    key = await bench.make()
    notes = LastUse(bench.issuer)
    task = asyncio.create_task(notes.run())
    await use(bench, notes, key, "delete_score")

    async def is_written() -> bool:
        row = (await bench.sql("SELECT last_used_on, used_permissions FROM api_keys"))[0]
        return row["last_used_on"] is not None and row["used_permissions"] == ["delete_score"]

    await until(is_written, 1.5)
    task.cancel()


async def test_a_row_that_is_being_changed_is_written_later(bench: Bench) -> None:
    """The batch waits for nobody."""
    key, other = await bench.make(), await bench.make()
    notes = LastUse(bench.issuer)
    for each in (key, other):
        await use(bench, notes, each, "delete_score")
    async with bench.issuer.database.transaction() as connection:
        await connection.execute("SELECT FROM api_keys WHERE key_id = $1 FOR UPDATE", key.key_id)
        await notes.write()
    rows = await bench.sql("SELECT key_id FROM api_keys WHERE last_used_on IS NOT NULL")
    assert [row["key_id"] for row in rows] == [other.key_id]
    await notes.write()
    rows = await bench.sql("SELECT used_permissions FROM api_keys WHERE last_used_on IS NOT NULL")
    assert [row["used_permissions"] for row in rows] == [["delete_score"]] * 2
