"""What one exchange costs: commands to Redis and transactions of PostgreSQL as the servers count them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import asyncpg
import pytest

from tests.integration.oauth.conftest import Provider

EXCHANGES: Final = 100
MOST_COMMANDS: Final = 12
IDLE_SECONDS: Final = 1.0


async def commands(provider: Provider) -> dict[str, int]:
    """How often each command has been called on this server, those within scripts too."""
    told: bytes = await provider.resources.bus.redis.execute("INFO", "commandstats")
    lines = (line.split(":") for line in told.decode().splitlines() if line.startswith("cmdstat_"))
    return {name.removeprefix("cmdstat_"): int(rest.split(",")[0].partition("=")[2]) for name, rest in lines}


async def transactions(connection: asyncpg.Connection[Any]) -> int:
    """How many transactions of this server have written anything, this look among them."""
    number: int = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
    return number


@pytest.mark.alone
async def test_a_lone_exchange_costs_twelve_commands_and_one_transaction(provider: Provider) -> None:
    """One after the other, less what the services do in the same time when nobody asks for anything."""
    people = [await provider.site.sign_up() for _ in range(EXCHANGES // 5)]
    client = await people[0].create_client()
    # Few for each, so that no older key has to make room.
    codes = [await person.create_code(client) for person in people for _ in range(6)][: EXCHANGES + 5]
    for code in codes[EXCHANGES:]:
        assert (await provider.site.exchange(client, code)).status_code == 200
    connection = await asyncpg.connect(provider.stores.database_url)
    loop = asyncio.get_running_loop()
    try:
        idle_before, began = await commands(provider), loop.time()
        written = await transactions(connection)
        for code in codes[:EXCHANGES]:
            assert (await provider.site.exchange(client, code)).status_code == 200
        seconds, after = loop.time() - began, await commands(provider)
        written = await transactions(connection) - written - 1
        idle_began, idle = loop.time(), await commands(provider)
        await asyncio.sleep(IDLE_SECONDS)
        idle_seconds, idle_after = loop.time() - idle_began, await commands(provider)
    finally:
        await connection.close()
    spent = {
        name: (count - idle_before.get(name, 0))
        - seconds / idle_seconds * (idle_after.get(name, 0) - idle.get(name, 0))
        for name, count in after.items()
    }
    each = {name: round(count / EXCHANGES, 2) for name, count in spent.items() if count >= EXCHANGES / 20}
    assert sum(spent.values()) / EXCHANGES <= MOST_COMMANDS, str(each)
    # Last uses are written too, once for each key.
    assert EXCHANGES <= written <= EXCHANGES * 1.2, written
