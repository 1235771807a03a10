"""Keys that nobody was seen to receive do not live long; what was confirmed or used does."""

from __future__ import annotations

import asyncio

from services.key_issuer.delivery import confirm_deliveries, sweep
from tests.integration.key_issuer.conftest import Bench, command, mint, open_bench


async def test_an_undelivered_key_is_revoked_after_its_time(bench: Bench) -> None:
    """N2: no live key that nobody received."""
    lost, delivered = await bench.make(), await bench.make()
    await confirm_deliveries(bench.issuer, [delivered.key_id, "x" * 16])
    assert await sweep(bench.issuer, 600) == 0
    await bench.wait(601)
    assert await sweep(bench.issuer, 600) == 1
    assert await sweep(bench.issuer, 600) == 0
    assert await bench.status(lost.key_id) == "revoked:undelivered"
    assert await bench.status(delivered.key_id) == "active"
    row = (await bench.sql("SELECT undelivered FROM api_keys WHERE key_id = $1", lost.key_id))[0]
    assert row["undelivered"] is True
    assert await bench.audit(lost.key_id) == ["issued", "revoked"]


async def test_a_clock_that_jumps_ends_nothing(bench: Bench) -> None:
    """A replica that is an hour ahead, or an hour late, neither sweeps what is young nor keeps what is old."""
    async with open_bench(bench.url) as other:
        for hours in (1, -1):
            other.clock.ahead_ms = hours * 3_600_000
            young = await bench.make()
            assert await sweep(other.issuer, 600) == 0
            assert await bench.status(young.key_id) == "active"
            await bench.wait(601)
            assert await sweep(other.issuer, 600) == 1


async def test_two_sweepers_revoke_each_key_once(bench: Bench) -> None:
    """They leave to each other what the other one holds."""
    await bench.issue(*(command(mint(), user_id=user) for user in range(1, 701)))
    await bench.wait(601)
    async with open_bench(bench.url) as other:
        swept = await asyncio.gather(*(sweep(each.issuer, 600) for each in (bench, other) * 2))
    assert sum(swept) == 700
    rows = await bench.sql("SELECT count(*) FROM audit WHERE event = 'revoked'")
    assert rows[0]["count"] == 700


async def test_confirming_and_sweeping_at_once_agree(bench: Bench) -> None:
    """A key is either confirmed and alive or swept and dead."""
    keys = [mint() for _ in range(200)]
    await bench.issue(*(command(key, user_id=1 + number) for number, key in enumerate(keys)))
    await bench.wait(601)
    ids = [key.key_id for key in keys]
    async with open_bench(bench.url) as other:
        await asyncio.gather(
            sweep(bench.issuer, 600),
            *(confirm_deliveries(other.issuer, ids[start : start + 50]) for start in (150, 100, 50, 0)),
            *(confirm_deliveries(other.issuer, ids[start : start + 50][::-1]) for start in (0, 50, 100, 150)),
        )
    rows = await bench.sql("SELECT status, undelivered, count(*) FROM api_keys GROUP BY 1, 2")
    assert {(row["status"], row["undelivered"]) for row in rows} <= {("active", False), ("revoked", True)}
    assert (await bench.sql("SELECT count(*) FROM undelivered_keys"))[0]["count"] == 0


async def test_marks_of_replayed_codes_are_forgotten_after_a_day(bench: Bench) -> None:
    """No command with such a code can still be on its way."""
    await bench.sql("INSERT INTO replayed_codes VALUES ($1, $2)", b"c" * 32, bench.clock.now())
    await sweep(bench.issuer, 600)
    assert len(await bench.sql("SELECT FROM replayed_codes")) == 1
    bench.clock.ahead_ms = 25 * 3600 * 1000
    await sweep(bench.issuer, 600)
    assert await bench.sql("SELECT FROM replayed_codes") == []
