"""The pool of connections while PostgreSQL misbehaves: every failure is an outage, and no connection is left astray."""

from __future__ import annotations

import asyncio
from types import MappingProxyType

import asyncpg
import pytest

from shared.database import Database
from shared.errors import StoreUnavailable
from tests.harness.stores import Servers, fresh_database
from tests.integration.key_issuer.gate import gate_to


def database_at(url: str) -> Database:
    """A pool of one connection, which a second borrower gets as the first has left it."""
    return Database(
        url, schema="keys", queries=MappingProxyType({}), application_name="latchkey-tests", pool_size=1
    )


async def test_a_server_that_falls_silent_within_a_transaction_is_an_outage(servers: Servers) -> None:
    """Statement, cancellation and rollback go unanswered; afterwards the pool works again."""
    async with fresh_database(servers) as url, gate_to(url) as gate:
        database = database_at(gate.url)

        async def transaction() -> None:
            async with database.transaction() as connection:
                await connection.fetchval("SELECT 1")
                gate.silence()
                await connection.fetchval("SELECT 2")

        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(transaction(), 15)
        await gate.open()
        async with asyncio.timeout(10):
            while True:
                try:
                    await database.ping()
                except StoreUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    break
        await database.stop()


async def test_a_connection_that_lost_its_place_is_not_lent_again(servers: Servers) -> None:
    """The driver does not know what the next bytes answer: an outage to the borrower, a new connection to the next."""
    async with fresh_database(servers) as url:
        database = database_at(url)
        async with database.connection() as connection:
            before = await connection.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(StoreUnavailable, match="InternalClientError"):
            async with database.transaction():
                raise asyncpg.InternalClientError("got result for unknown protocol state")
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") != before
        await database.stop()


async def test_a_transaction_whose_end_was_cut_short_is_not_lent_again(servers: Servers) -> None:
    """The server answers too late for the request, which ends without its rollback: nobody gets that connection."""
    faults: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: faults.append(context["message"]))
    async with fresh_database(servers) as url, gate_to(url) as gate:
        database = database_at(gate.url)
        within = asyncio.Event()

        async def transaction() -> None:
            async with database.transaction() as connection:
                gate.silence()
                within.set()
                await connection.fetchval("SELECT pg_sleep(60)")

        request = asyncio.create_task(transaction())
        await within.wait()
        for _ in ("the statement", "the rollback"):
            await asyncio.sleep(0.05)
            request.cancel()
        await asyncio.sleep(0.05)
        await gate.open()
        with pytest.raises(asyncio.CancelledError):
            await request
        async with database.transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        await database.stop()
    loop.set_exception_handler(None)
    assert faults == []
