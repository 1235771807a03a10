"""The cached look-up of clients: fresh within a second, one query at a time."""

from __future__ import annotations

import asyncio

from services.auth_api.clients.cache import FRESH_SECONDS, ClientCache
from shared.clock import SystemClock
from tests.integration.auth_api.conftest import Registry


class SteppedClock(SystemClock):
    """The machine's clock, set forward by hand."""

    def __init__(self) -> None:
        """Nothing added yet."""
        self.added = 0.0

    def monotonic(self) -> float:
        """Seconds, with what was added."""
        return super().monotonic() + self.added


async def test_what_is_known_is_under_a_second_old(registry: Registry) -> None:
    """A change elsewhere is seen once the look-up has aged, a change of this process at once."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    clock = SteppedClock()
    cache = ClientCache(registry.resources.database, clock)
    assert await cache.find("lkc_later0000000000") is None
    before = await cache.find(client.client_id)
    assert before is not None
    await registry.sql("UPDATE auth.clients SET name = 'Changed' WHERE client_id = $1", client.client_id)
    cache.invalidate(client.client_id)
    after = await cache.find(client.client_id)
    assert after is not None
    assert (before.name, after.name) == ("Epic Games", "Changed")
    await registry.sql("DELETE FROM auth.clients WHERE client_id = $1", client.client_id)
    clock.added += FRESH_SECONDS
    assert await cache.find(client.client_id) is None
    assert FRESH_SECONDS < 1


async def test_many_at_once_ask_once(registry: Registry) -> None:
    """A hundred look-ups of one client share a query, and one that gives up does not take it from the others."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    cache = ClientCache(registry.resources.database, SystemClock())
    lookups = [asyncio.create_task(cache.find(client.client_id)) for _ in range(100)]
    await asyncio.sleep(0)
    assert len(cache._reading) == 1
    lookups[0].cancel()
    found = await asyncio.gather(*lookups, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(each is found[1] for each in found[1:])
    assert found[1] is not None
    assert cache._reading == {}


async def test_a_change_during_a_read_is_not_forgotten(registry: Registry) -> None:
    """What was being read when the client changed is not kept."""
    person = await registry.site.sign_up()
    client = await person.create_client()
    cache = ClientCache(registry.resources.database, SystemClock())
    reading = asyncio.create_task(cache.find(client.client_id))
    await asyncio.sleep(0)
    cache.invalidate(client.client_id)
    await reading
    assert client.client_id not in cache._known


async def test_ac_48_what_is_no_id_reaches_no_query(registry: Registry) -> None:
    """NUL, other scripts and over-long ids are unknown."""
    for client_id in ("", "\0", "a\0b", "é", "\uff11", "a" * 65, "a\nb"):
        assert await registry.resources.clients.find(client_id) is None
