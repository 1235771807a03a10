"""From the commit of a revocation to the last yes of a guard: moments, and never more than five seconds."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from latchkey_sdk import Guard, Refused
from shared.api_key import MintedKey
from tests.harness.processes import command
from tests.harness.stores import Servers, Stores, fresh_database
from tests.integration.bus.conftest import Valkey
from tests.integration.key_issuer.conftest import URL, Desk, open_desk
from tests.integration.key_issuer.conftest import until as until_later
from tests.sdk.python.latchkey import until
from tests.sdk.python.relay import relaying

AT_ONCE_SECONDS: Final = 1.5
"""Generous for milliseconds: the machine may be busy."""
BOUND_SECONDS: Final = 5.0

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class World:
    """Two replicas of key_issuer on stores of the test's own, and guards that use them in every combination."""

    desk: Desk
    guards: tuple[Guard, ...]
    stores: Stores
    valkey: Valkey

    async def remembered(self) -> MintedKey:
        """A live key that every guard remembers, for long where it may."""
        key = await self.desk.make()
        for guard in self.guards:
            await guard.check(key.token)
        return key

    async def revoke(self, key: MintedKey) -> float:
        """The operator's command, which speaks to PostgreSQL alone; when it had committed at the latest."""
        environ = {**self.stores.environment(), "LATCHKEY_PUBLIC_URL": URL}
        await asyncio.to_thread(command, "keys", "revoke", key.key_id, environ=environ)
        return time.monotonic()

    async def last_accepted(self, key: MintedKey, refusals_in_a_row: int = 20) -> float:
        """When some guard said yes for the last time; each is asked twenty times a second."""

        async def of(guard: Guard) -> float:
            accepted, refusals = 0.0, 0
            while refusals < refusals_in_a_row:
                try:
                    await guard.check(key.token)
                    accepted, refusals = time.monotonic(), 0
                except Refused:
                    refusals += 1
                await asyncio.sleep(0.05)
            return accepted

        return max(await asyncio.gather(*map(of, self.guards)))


@pytest.fixture
async def world(servers: Servers, tmp_path: Path) -> AsyncIterator[World]:
    """All hear one another."""
    valkey = Valkey(tmp_path)
    valkey.start()
    async with fresh_database(servers) as database_url, AsyncExitStack() as stack:
        stack.callback(valkey.kill)
        stores = Stores(database_url, valkey.url)
        desks = [await stack.enter_async_context(open_desk(stores)) for _ in range(2)]
        for desk in desks:
            await until_later(desk.is_well)
        service = await desks[0].make_service_key()
        urls = [desk.url for desk in desks]
        for asked, streaming in ((0, 1), (1, 0)):
            relay = await stack.enter_async_context(relaying(urls[asked], urls[streaming]))
            urls.append(relay.url)
        guards = [await stack.enter_async_context(Guard(url, service.token)) for url in urls]
        for guard in guards:
            await until(lambda guard=guard: guard.stream_alive)  # type: ignore[misc]
            guard._memory._all_forgotten_at -= 10  # as some seconds later
        yield World(desks[0], tuple(guards), stores, valkey)


async def test_a_revocation_is_heard_at_once(world: World) -> None:
    """Whichever process answers, and whichever streams."""
    for _ in range(3):
        key = await world.remembered()
        committed = await world.revoke(key)
        assert await world.last_accepted(key) - committed < AT_ONCE_SECONDS


async def test_with_redis_paused_it_is_refused_within_the_bound(world: World) -> None:
    """Nobody can tell the guards. They notice, and ask those who read the table."""
    key = await world.remembered()
    world.valkey.signal(signal.SIGSTOP)
    committed = await world.revoke(key)
    accepted = await world.last_accepted(key, 100)
    assert accepted - committed < BOUND_SECONDS
    assert not any(guard.stream_alive for guard in world.guards)
    world.valkey.signal(signal.SIGCONT)
    for guard in world.guards:
        await until(lambda guard=guard: guard.stream_alive)  # type: ignore[misc]
        with pytest.raises(Refused):
            await guard.check(key.token)
