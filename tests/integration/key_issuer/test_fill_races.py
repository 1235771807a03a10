"""A row is read while the key is being narrowed: whatever the order, what is remembered is never older than the news."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.key_issuer.db.repository import PLANS, QUERIES, SCHEMA
from services.key_issuer.issuer import Issuer
from services.key_issuer.revocation import revoke_key
from services.key_issuer.verification import KeyCache, Verifier
from shared.contracts.keys import RevokeKey
from shared.database import Database, load_queries
from tests.integration.key_issuer.conftest import Bench, mint, open_bench, reader_of, verifier_of


async def test_a_revocation_during_the_read_is_answered_with_the_new_row(bench: Bench) -> None:
    """The row was read before the commit, the news arrived before it was stored: it is read again."""
    async with open_bench(bench.url) as other:
        for _ in range(30):
            key = await bench.make()
            verifier = verifier_of(bench.issuer)
            checks = [asyncio.create_task(verifier.live_key(key.token)) for _ in range(3)]
            await asyncio.sleep(0)
            order = RevokeKey(key_id=key.key_id, user_id=2, reason="owner")
            await asyncio.gather(revoke_key(other.issuer, order), *checks)
            bench.issuer.cache.invalidate([key.key_id])
            assert await verifier.live_key(key.token) is None


async def test_news_that_overtake_the_read_are_heeded(bench: Bench) -> None:
    """The read is stopped between the table and the memory; the key dies meanwhile."""
    key = await bench.make()
    reader = reader_of(bench.issuer)
    verifier = verifier_of(bench.issuer, reader)
    load = reader._load
    read = asyncio.Event()
    go_on = asyncio.Event()

    async def slow_load(batch: object) -> object:
        records = await load(batch)  # type: ignore[arg-type]
        read.set()
        await go_on.wait()
        return records

    reader._load = slow_load  # type: ignore[method-assign,assignment]
    check = asyncio.create_task(verifier.live_key(key.token))
    await read.wait()
    await revoke_key(bench.issuer, RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))
    go_on.set()
    assert await check is None
    assert await verifier.live_key(key.token) is None


async def test_who_leaves_does_not_take_the_read_from_the_others(bench: Bench) -> None:
    """The first of many is cancelled: the others get their answer."""
    key = await bench.make()
    verifier = verifier_of(bench.issuer)
    first, second = (asyncio.create_task(verifier.live_key(key.token)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    found = await second
    assert found is not None
    assert found.key_id == key.key_id


class CountingDatabase(Database):
    """The keys' database, which counts the statements that read."""

    statements = 0

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """All rows of a named query."""
        self.statements += 1
        return await super().fetch(query, *args)


@asynccontextmanager
async def counting(bench: Bench, *, deaf: bool) -> AsyncIterator[tuple[CountingDatabase, KeyCache, Verifier]]:
    """A verifier of its own on the bench's tables."""
    database = CountingDatabase(
        bench.url, schema=SCHEMA, queries=load_queries(QUERIES), application_name="tests", parameters=PLANS
    )
    cache = KeyCache(bench.clock.monotonic)
    if not deaf:
        cache.hear(())
    issuer = Issuer(database, bench.clock, bench.issuer.peppers, cache)
    try:
        yield database, cache, verifier_of(issuer)
    finally:
        await database.stop()


@pytest.mark.parametrize("deaf", [False, True])
async def test_keys_that_are_wanted_at_once_are_read_at_once(bench: Bench, deaf: bool) -> None:
    """Sixty keys in one statement, live, unknown and wrong ones; a deaf verifier remembers none of it."""
    keys = [await bench.make(user_id=number) for number in range(1, 61)]
    tokens = [key.token for key in keys] + [mint().token]
    async with counting(bench, deaf=deaf) as (database, _cache, verifier):
        for _ in range(2):
            found = await asyncio.gather(*map(verifier.live_key, tokens))
            assert [key.key_id if key else None for key in found] == [*(key.key_id for key in keys), None]
        assert database.statements == (2 if deaf else 1)


async def test_after_a_gap_keys_are_read_again_when_they_are_used(bench: Bench) -> None:
    """Many at once, and what has changed meanwhile is seen; then they are remembered again."""
    keys = [await bench.make(user_id=number) for number in range(1, 21)]
    async with counting(bench, deaf=False) as (database, cache, verifier), open_bench(bench.url) as other:
        await asyncio.gather(*(verifier.live_key(key.token) for key in keys))
        await revoke_key(other.issuer, RevokeKey(key_id=keys[0].key_id, user_id=1, reason="owner"))
        assert await verifier.live_key(keys[0].token) is not None  # nothing was heard
        cache.distrust()
        for _ in range(2):
            found = await asyncio.gather(*(verifier.live_key(key.token) for key in keys))
            assert [key is not None for key in found] == [False] + [True] * 19
        assert database.statements == 2


async def test_a_check_of_a_deaf_verifier_reads_after_it_has_begun(bench: Bench) -> None:
    """It does not join a statement that is under way: what was committed before the check is seen by it."""
    key = await bench.make()
    async with counting(bench, deaf=True) as (database, _cache, verifier), open_bench(bench.url) as other:
        first = asyncio.create_task(verifier.live_key(key.token))
        while not database.statements:
            await asyncio.sleep(0)
        await revoke_key(other.issuer, RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))
        assert await verifier.live_key(key.token) is None
        await first
