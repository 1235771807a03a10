"""The process dies at the moments that a kill from outside hits rarely; what it was asked is done once all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from deploy.embedded.ports import free_port
from services.key_issuer.issuance import issue_keys
from services.key_issuer.revocation import revoke_key
from shared.bus import Bus
from shared.contracts.keys import RevokeKey
from shared.errors import StoreUnavailable
from tests.harness.processes import Program, start
from tests.harness.stores import Servers, Stores, fresh_stores
from tests.integration.key_issuer.conftest import Bench, command, mint, open_bench, open_bus, open_desk, until
from tests.integration.key_issuer.gate import gate_to

pytestmark = pytest.mark.slow

TAKE_OVER_SECONDS = 45.0
"""A member's entries are taken over after 15 s of silence."""


@asynccontextmanager
async def issuer_process(stores: Stores, failpoint: str) -> AsyncIterator[Program]:
    """A process of key_issuer that dies, once, at this moment."""
    environ = {
        **stores.environment(),
        "LATCHKEY_PUBLIC_URL": "http://latchkey.test",
        "LATCHKEY_TESTING": "1",
        "LATCHKEY_FAILPOINTS": f"{failpoint}=kill@1",
    }
    process = start("serve", "key-issuer", "--port", str(free_port()), environ=environ)
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


@asynccontextmanager
async def crashed(
    servers: Servers, failpoint: str, ask: Callable[[Bus, Bench], Awaitable[None]]
) -> AsyncIterator[tuple[Stores, Bench]]:
    """Stores as a process leaves them that was asked something and died at this moment."""
    async with (
        fresh_stores(servers) as stores,
        open_bus(stores) as bus,
        open_bench(stores.database_url) as bench,
    ):
        await ask(bus, bench)
        async with issuer_process(stores, failpoint) as process:
            assert await asyncio.to_thread(process.wait, TAKE_OVER_SECONDS) == -9
        yield stores, bench


async def issue(servers: Servers, failpoint: str, *, earlier: int, made: int) -> None:
    """Dies while it makes three keys; the next process makes what is missing, and each is there once.

    ``earlier``: keys of the same codes that were given up. ``made``: what is committed when it dies.
    """
    keys = [(mint(), mint().digest) for _ in range(3)]
    given_up: dict[str, tuple[str, ...]] = {}

    async def ask(bus: Bus, bench: Bench) -> None:
        for _, code_digest in keys[:earlier]:
            lost = mint()
            await bench.issue(command(lost, code_digest=code_digest))
            given_up[code_digest] = (lost.key_id,)
        for key, code_digest in keys:
            await bus.send(command(key, code_digest=code_digest, abandoned=given_up.get(code_digest, ())))

    async with crashed(servers, failpoint, ask) as (stores, bench):
        assert len(await bench.sql("SELECT FROM api_keys")) == earlier + made
        async with open_desk(stores) as desk:

            async def is_settled() -> bool:
                length = await desk.bus.redis.execute("XLEN", "lk:{key_issuer:0}:commands")
                return int(length) == 0

            await until(is_settled, TAKE_OVER_SECONDS)
            for key, _ in keys:
                assert await desk.check(key.token) == 200
                assert await bench.audit(key.key_id) == ["issued"]
            (abandoned,) = await bench.sql("SELECT count(*) FROM api_keys WHERE end_reason = 'abandoned'")
            assert abandoned["count"] == earlier


async def revoke(servers: Servers, failpoint: str) -> None:
    """Dies after a revocation is committed; the next process tells everybody."""
    keys = [mint()]

    async def ask(bus: Bus, bench: Bench) -> None:
        await bench.issue(command(keys[0]))
        await bus.send(RevokeKey(key_id=keys[0].key_id, user_id=2, reason="owner"))

    async with crashed(servers, failpoint, ask) as (stores, bench):
        assert await bench.status(keys[0].key_id) == "revoked:owner"
        async with open_desk(stores) as desk:
            assert await desk.check(keys[0].token) == 401

            async def is_told() -> bool:
                entries = await desk.bus.redis.execute("XRANGE", "lk:{revocations}", "-", "+")
                return any(keys[0].key_id.encode() in field for _id, fields in entries for field in fields)

            await until(is_told)
            assert await bench.audit(keys[0].key_id) == ["issued", "revoked"]


async def test_s5_a_commit_whose_answer_is_lost_is_found_again(bench: Bench) -> None:
    """The connection dies in place of the answer that it is committed: so it is an outage, and asking again tells."""
    order = command(mint())
    ending = RevokeKey(key_id=order.key_id, user_id=order.user_id, reason="owner")
    async with gate_to(bench.url) as gate, open_bench(gate.url) as issuing:
        gate.cut_after(order.key_id.encode())
        with pytest.raises(StoreUnavailable):
            await issue_keys(issuing.issuer, [order])
        (reply,) = await issuing.issue(order)
        assert reply.outcome == "issued"
        gate.cut_after(b"COMMIT")
        with pytest.raises(StoreUnavailable):
            await revoke_key(issuing.issuer, ending)
        assert (await revoke_key(issuing.issuer, ending)).found == 1
    assert await bench.status(order.key_id) == "revoked:owner"
    assert await bench.audit(order.key_id) == ["issued", "revoked"]
    assert len(await bench.told("keys.narrowed")) == 1


async def test_a_process_that_dies_leaves_nothing_undone_and_nothing_twice(servers: Servers) -> None:
    """S5 and S6 of the kill matrix: between INSERT and COMMIT, between COMMIT and reply, before the announcement."""
    await asyncio.gather(
        issue(servers, "key_issuer.issue.inserted", earlier=3, made=0),
        issue(servers, "key_issuer.issue.committed", earlier=0, made=3),
        revoke(servers, "key_issuer.revoke.committed"),
    )
