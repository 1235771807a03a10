"""What a test keeps its data in: a database of its own, copied from a migrated one, and a key space of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from redis.asyncio import Redis

from deploy.schemas import migrate_all
from shared.settings import load_settings
from tests.harness.backends import start_once

_TEMPLATE_LOCK: Final = 0x4C4B5445
_CLAIM: Final = """
if redis.call('DBSIZE') > 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


@dataclass(frozen=True, slots=True)
class Servers:
    """A PostgreSQL whose role may create databases, and a Valkey or Redis, for the whole run."""

    database_url: str
    redis_url: str
    run: str
    """Names this run in what it makes on the servers."""


@dataclass(frozen=True, slots=True)
class Stores:
    """One migrated, empty database and one empty key space."""

    database_url: str
    redis_url: str

    def environment(self) -> dict[str, str]:
        """What a service needs to use them; the secrets are for tests alone."""
        return {
            "LATCHKEY_DATABASE_URL": self.database_url,
            "LATCHKEY_REDIS_URL": self.redis_url,
            "LATCHKEY_SECRET": "secret-of-the-tests-0123456789abcdef",
            "LATCHKEY_KEY_PEPPER": "pepper-of-the-tests-0123456789abcdef",
        }


def servers_of_run(folder: Path) -> Servers:
    """Those of LATCHKEY_TEST_DATABASE_URL and LATCHKEY_TEST_REDIS_URL, or else embedded ones."""
    run = folder.name.rpartition("-")[2].lower()
    given = os.environ.get("LATCHKEY_TEST_DATABASE_URL"), os.environ.get("LATCHKEY_TEST_REDIS_URL")
    if given[0] and given[1]:
        return Servers(given[0], given[1], run)
    assert not any(given), "LATCHKEY_TEST_DATABASE_URL and LATCHKEY_TEST_REDIS_URL go together"
    memory = start_once(folder)
    return Servers(memory.database_url, memory.redis_url, run)


@asynccontextmanager
async def fresh_stores(servers: Servers) -> AsyncIterator[Stores]:
    """A database and a key space that nobody else uses; both are gone at the end."""
    async with fresh_database(servers) as database_url, fresh_key_space(servers) as redis_url:
        yield Stores(database_url, redis_url)


@asynccontextmanager
async def fresh_database(servers: Servers, *, migrated: bool = True) -> AsyncIterator[str]:
    """The URL of a new database: a copy of this run's migrated one, or an empty one."""
    name = f"latchkey_test_{servers.run}_{secrets.token_hex(6)}"
    async with _connected(servers) as server:
        template = await _template(servers, server) if migrated else "template1"
        await server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield _with_path(servers.database_url, name)
        finally:
            await _drop(server, name)


@asynccontextmanager
async def fresh_key_space(servers: Servers) -> AsyncIterator[str]:
    """The URL of a logical database that was empty; it is emptied at the end."""
    owner = f"latchkey-tests:{servers.run}"
    async with Redis.from_url(servers.redis_url, single_connection_client=True) as server:
        most = int((await server.config_get("databases"))["databases"] or 1)
        for number in range(1, most):
            await server.select(number)
            if await server.eval(_CLAIM, 1, owner, secrets.token_hex(8)):
                break
        else:
            raise AssertionError(f"all {most} logical databases of the server are in use")
    url = _with_path(servers.redis_url, str(number))
    try:
        yield url
    finally:
        async with Redis.from_url(url) as database:
            await database.flushdb()


async def forget_run(servers: Servers) -> None:
    """Drops the template; for servers that outlive the run."""
    async with _connected(servers) as server:
        await _drop(server, _template_name(servers))


@asynccontextmanager
async def _connected(servers: Servers) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection as the role that may create databases. Each costs both sides more than what is done with it here."""
    server = await asyncpg.connect(servers.database_url)
    try:
        yield server
    finally:
        await server.close()


async def _template(servers: Servers, server: asyncpg.Connection[asyncpg.Record]) -> str:
    """The name of this run's migrated database, made by whoever needs it first."""
    name = _template_name(servers)
    if await _exists(server, name):
        return name
    await server.execute("SELECT pg_advisory_lock($1)", _TEMPLATE_LOCK)
    try:
        if not await _exists(server, name):
            draft = f"{name}_draft"
            await server.execute(f"DROP DATABASE IF EXISTS {draft}")
            await server.execute(f"CREATE DATABASE {draft}")
            settings = load_settings({"LATCHKEY_DATABASE_URL": _with_path(servers.database_url, draft)})
            async for _ in migrate_all(settings):
                pass
            await server.execute(f"ALTER DATABASE {draft} RENAME TO {name}")
    finally:
        await server.execute("SELECT pg_advisory_unlock($1)", _TEMPLATE_LOCK)
    return name


async def _exists(server: asyncpg.Connection[asyncpg.Record], name: str) -> bool:
    return bool(await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name))


def _template_name(servers: Servers) -> str:
    return f"latchkey_test_{servers.run}_template"


async def _drop(server: asyncpg.Connection[asyncpg.Record], name: str) -> None:
    """Without FORCE, which fails where autovacuum is at work: only a superuser may end that so."""
    await server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename = current_user",
        name,
    )
    await server.execute(f"DROP DATABASE IF EXISTS {name}")


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))
