"""Revocations that cannot be announced: whatever is in the way, no verifier accepts the key five seconds later."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from deploy.embedded.ports import free_port
from shared.api_key import MintedKey
from tests.harness.processes import command, start
from tests.harness.stores import Servers, Stores, fresh_database
from tests.integration.bus.conftest import Valkey
from tests.integration.key_issuer.conftest import URL, Desk, open_desk, until

HEARD_SECONDS: Final = 4.5
"""A verifier is deaf three seconds after the last heartbeat; with a revocation at the worst moment, and a slow machine."""
HEARD_AT_ONCE_SECONDS: Final = 1.5
BOUND_SECONDS: Final = 5.0
RECOVERY_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Verifiers:
    """Two replicas on stores of the test's own."""

    one: Desk
    two: Desk
    stores: Stores
    valkey: Valkey

    async def remembered(self) -> MintedKey:
        """A live key that both remember since just now."""
        key = await self.one.make()
        for desk in (self.one, self.two):

            async def is_remembered(desk: Desk = desk) -> bool:
                before = await desk.misses()
                assert await desk.check(key.token) == 200
                return await desk.misses() == before

            await until(is_remembered)
        return key

    async def revoke(self, key: MintedKey) -> float:
        """The operator's command, which speaks to PostgreSQL alone; when it had committed at the latest."""
        environ = {**self.stores.environment(), "LATCHKEY_PUBLIC_URL": URL}
        await asyncio.to_thread(command, "keys", "revoke", key.key_id, environ=environ)
        return time.monotonic()

    async def all_well(self) -> bool:
        """Whether both say so."""
        return await self.one.is_well() and await self.two.is_well()


@pytest.fixture
async def verifiers(servers: Servers, valkey: Valkey) -> AsyncIterator[Verifiers]:
    """Two replicas that hear."""
    async with fresh_database(servers) as database_url:
        stores = Stores(database_url, valkey.url)
        async with open_desk(stores) as one, open_desk(stores) as two:
            running = Verifiers(one, two, stores, valkey)
            await until(running.all_well)
            yield running


async def last_accepted(desk: Desk, key: MintedKey) -> float:
    """When this replica said yes for the last time."""
    accepted = 0.0
    while (status := await desk.check(key.token)) == 200:
        accepted = time.monotonic()
        await asyncio.sleep(0.01)
    assert status == 401
    return accepted


async def alone(valkey: Valkey, bus_of: Desk) -> None:
    """Redis refuses every write for want of replicas."""
    await bus_of.bus.redis.execute("CONFIG", "SET", "min-replicas-to-write", "1")


async def paused(valkey: Valkey, bus_of: Desk) -> None:
    """Redis answers nothing."""
    valkey.signal(signal.SIGSTOP)


async def mend(verifiers: Verifiers) -> None:
    """Redis works again."""
    verifiers.valkey.signal(signal.SIGCONT)

    async def is_mended() -> bool:
        with suppress(Exception):
            await verifiers.one.bus.redis.execute("CONFIG", "SET", "min-replicas-to-write", "0")
            return True
        return False

    await until(is_mended)


@pytest.mark.parametrize("blow", [alone, paused])
async def test_a_verifier_that_cannot_hear_believes_nothing_and_says_so(
    verifiers: Verifiers, blow: Callable[[Valkey, Desk], Awaitable[None]]
) -> None:
    """Its reads may well complete. It is degraded, not unready; each check reads the table; all is well by itself again."""
    first, second = await verifiers.remembered(), await verifiers.remembered()
    await blow(verifiers.valkey, verifiers.one)
    committed = await verifiers.revoke(first)
    accepted = await asyncio.gather(*(last_accepted(desk, first) for desk in (verifiers.one, verifiers.two)))
    assert max(accepted) - committed < HEARD_SECONDS
    for desk in (verifiers.one, verifiers.two):

        async def is_degraded(desk: Desk = desk) -> bool:
            report = await desk.readiness()
            return bool(report["status"] == "degraded" and report["dependencies"]["revocations"] != "ok")

        await until(is_degraded, 5.0)
        assert await desk.check(second.token) == 200
    await verifiers.revoke(second)
    for desk in (verifiers.one, verifiers.two):
        assert await desk.check(second.token) == 401
    await mend(verifiers)
    await until(verifiers.all_well, RECOVERY_SECONDS)

    async def is_published() -> bool:
        return not await verifiers.one.sql("SELECT FROM outbox WHERE published_on IS NULL")

    await until(is_published)
    await verifiers.remembered()


async def test_a_full_redis_still_tells_what_was_revoked(verifiers: Verifiers) -> None:
    """It takes revocations and heartbeats without room for anything else: nobody is deaf, all hear at once."""
    first, second = await verifiers.remembered(), await verifiers.remembered()
    await verifiers.one.bus.redis.execute("CONFIG", "SET", "maxmemory", "1")
    for key in (first, second):
        committed = await verifiers.revoke(key)
        accepted = await asyncio.gather(
            *(last_accepted(desk, key) for desk in (verifiers.one, verifiers.two))
        )
        assert max(accepted) - committed < HEARD_AT_ONCE_SECONDS
        report = await verifiers.two.readiness()
        assert report["dependencies"]["revocations"] == "ok"
    await verifiers.one.bus.redis.execute("CONFIG", "SET", "maxmemory", "0")


@asynccontextmanager
async def third_process(stores: Stores) -> AsyncIterator[tuple[int, str]]:
    """A replica in a process of its own: its id and address."""
    port = free_port()
    environ = {**stores.environment(), "LATCHKEY_PUBLIC_URL": URL}
    process = start("serve", "key-issuer", "--port", str(port), environ=environ)
    try:
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_relay_that_stops_is_not_missed(verifiers: Verifiers, number: signal.Signals) -> None:
    """Others announce what is committed; a process that was stopped believes nothing of before when it goes on."""
    async with (
        third_process(verifiers.stores) as (pid, url),
        ClientSession(timeout=ClientTimeout(total=15)) as http,
    ):
        third = Desk(url, http, verifiers.one.bus, verifiers.stores, verifiers.one.settings)

        async def is_well() -> bool:
            with suppress(ClientError):
                return await third.is_well()
            return False

        await until(is_well, 30.0)
        key = await verifiers.remembered()
        assert await third.check(key.token) == 200
        os.kill(pid, number)
        committed = await verifiers.revoke(key)
        accepted = await asyncio.gather(
            *(last_accepted(desk, key) for desk in (verifiers.one, verifiers.two))
        )
        assert max(accepted) - committed < 1.5
        if number == signal.SIGSTOP:
            asked = asyncio.create_task(third.check(key.token))
            os.kill(pid, signal.SIGCONT)
            if await asked == 200:  # it may have come before anything was heard, but not after the bound
                assert await last_accepted(third, key) - committed < BOUND_SECONDS
        assert await verifiers.all_well()
