"""A row is read while the key is being narrowed: whatever the order, what is remembered is never older than the news."""

from __future__ import annotations

import asyncio

from services.key_issuer.last_use import LastUse
from services.key_issuer.metrics import IssuerMetrics
from services.key_issuer.revocation import revoke_key
from services.key_issuer.verification import Verifier
from shared.contracts.keys import RevokeKey
from shared.telemetry.metrics import Metrics
from tests.integration.key_issuer.conftest import Bench, open_bench


def verifier_of(bench: Bench) -> Verifier:
    """A verifier with a memory of its own."""
    return Verifier(bench.issuer, LastUse(bench.issuer), IssuerMetrics(Metrics("tests")))


async def test_a_revocation_during_the_read_is_answered_with_the_new_row(bench: Bench) -> None:
    """The row was read before the commit, the news arrived before it was stored: it is read again."""
    async with open_bench(bench.url) as other:
        for _ in range(30):
            key = await bench.make()
            verifier = verifier_of(bench)
            checks = [asyncio.create_task(verifier.live_key(key.token)) for _ in range(3)]
            await asyncio.sleep(0)
            order = RevokeKey(key_id=key.key_id, user_id=2, reason="owner")
            await asyncio.gather(revoke_key(other.issuer, order), *checks)
            bench.issuer.cache.bury([key.key_id])
            assert await verifier.live_key(key.token) is None


async def test_news_that_overtake_the_read_are_heeded(bench: Bench) -> None:
    """The read is stopped between the table and the memory; the key dies meanwhile."""
    key = await bench.make()
    verifier = verifier_of(bench)
    load = verifier._load
    read = asyncio.Event()
    go_on = asyncio.Event()

    async def slow_load(digest: str, parsed: object) -> object:
        record = await load(digest, parsed)  # type: ignore[arg-type]
        read.set()
        await go_on.wait()
        return record

    verifier._load = slow_load  # type: ignore[method-assign,assignment]
    check = asyncio.create_task(verifier.live_key(key.token))
    await read.wait()
    await revoke_key(bench.issuer, RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))
    go_on.set()
    assert await check is None
    assert await verifier.live_key(key.token) is None


async def test_who_leaves_does_not_take_the_read_from_the_others(bench: Bench) -> None:
    """The first of many is cancelled: the others get their answer."""
    key = await bench.make()
    verifier = verifier_of(bench)
    first, second = (asyncio.create_task(verifier.live_key(key.token)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    found = await second
    assert found is not None
    assert found.key_id == key.key_id
