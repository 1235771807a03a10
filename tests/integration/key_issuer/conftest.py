"""The issuer's use cases on a database of the test's own, and the whole service with a bus in front of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession, ClientTimeout

from deploy.embedded.ports import free_port
from services.key_issuer.app import create_app
from services.key_issuer.db.repository import PLANS, QUERIES, SCHEMA
from services.key_issuer.issuance import issue_keys
from services.key_issuer.issuer import Issuer
from services.key_issuer.key_reader import KeyReader
from services.key_issuer.verification import IssuerMetrics, KeyCache, Verifier
from shared.api_key import SERVICE_KEY, USER_KEY, MintedKey, mint_key
from shared.bus import Bus
from shared.clock import SystemClock
from shared.contracts.keys import IssueKey, IssueKeyReply
from shared.database import Database, load_queries
from shared.secret_tokens import Peppers
from shared.settings import Settings, load_settings
from shared.telemetry.metrics import Metrics
from shared.web.server import serving
from tests.harness.buses import started
from tests.harness.stores import Servers, Stores, fresh_database, fresh_stores

PEPPER = b"pepper-of-the-tests-0123456789abcdef"
URL = "http://latchkey.test"


class HandClock:
    """The machine's time, moved by hand where a test wants it later."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now(self) -> int:
        """Wall time in ms."""
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead_ms / 1000


def mint(kind: str = USER_KEY) -> MintedKey:
    """A key as auth_api or a page would mint it."""
    return mint_key("lk", kind, URL)


def command(key: MintedKey, **fields: Any) -> IssueKey:
    """The command that makes this key."""
    known: dict[str, Any] = {
        "key_id": key.key_id,
        "digest": key.digest,
        "code_digest": secrets.token_hex(32),
        "user_id": 2,
        "username": "b",
        "client_id": "CXFervidex",
        "identifier": "Epic Games",
        "permissions": ("customise_score", "delete_score"),
        "consented_on": time.time_ns() // 1_000_000,
        "origin": "code",
    }
    return IssueKey(**{**known, **fields})


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Polls until something is so."""
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Bench:
    """The use cases of one process, without its bus."""

    issuer: Issuer
    clock: HandClock
    url: str

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows straight from the schema."""
        async with self.issuer.database.connection() as connection:
            return await connection.fetch(statement, *arguments)

    async def issue(self, *commands: IssueKey) -> list[IssueKeyReply]:
        """The replies; a malformed command fails the test."""
        outcomes = await issue_keys(self.issuer, commands)
        assert all(isinstance(outcome, IssueKeyReply) for outcome in outcomes), outcomes
        return [outcome for outcome in outcomes if isinstance(outcome, IssueKeyReply)]

    async def make(self, **fields: Any) -> MintedKey:
        """A live key."""
        key = mint()
        reply = (await self.issue(command(key, **fields)))[0]
        assert reply.outcome == "issued"
        return key

    async def status(self, key_id: str) -> str:
        """What its row says, with the reason of its end."""
        row = (await self.sql("SELECT status, end_reason FROM api_keys WHERE key_id = $1", key_id))[0]
        return f"{row['status']}:{row['end_reason']}" if row["end_reason"] else str(row["status"])

    async def audit(self, key_id: str) -> list[str]:
        """The events of one key."""
        rows = await self.sql("SELECT event FROM audit WHERE key_id = $1 ORDER BY happened_on, event", key_id)
        return [row["event"] for row in rows]

    async def told(self, event_type: str) -> list[str]:
        """The bodies of the events of this type in the outbox, in order."""
        rows = await self.sql("SELECT body FROM outbox WHERE type = $1 ORDER BY id", event_type)
        return [bytes(row["body"]).decode() for row in rows]


def reader_of(issuer: Issuer) -> KeyReader:
    """What reads for a verifier."""
    return KeyReader(issuer, IssuerMetrics(Metrics("tests")))


def verifier_of(issuer: Issuer, reader: KeyReader | None = None) -> Verifier:
    """A verifier on this process's memory and table."""
    return Verifier(issuer.cache, issuer.clock, (reader or reader_of(issuer)).read)


def make_database(url: str, pool_size: int = 8) -> Database:
    """The schema of the keys in this database."""
    return Database(
        url,
        schema=SCHEMA,
        queries=load_queries(QUERIES),
        application_name="tests",
        pool_size=pool_size,
        parameters=PLANS,
    )


@asynccontextmanager
async def open_bench(url: str, peppers: dict[int, bytes] | None = None) -> AsyncIterator[Bench]:
    """The use cases of one more process on this database."""
    async with opened(url) as database:
        yield bench_on(database, url, peppers)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """The schema of the keys in this database, closed at the end."""
    database = make_database(url)
    try:
        yield database
    finally:
        await database.stop()


def bench_on(database: Database, url: str, peppers: dict[int, bytes] | None = None) -> Bench:
    """The use cases of one process, which remembers nothing yet."""
    clock = HandClock()
    cache = KeyCache(clock.monotonic)
    cache.hear(())
    return Bench(Issuer(database, clock, Peppers(peppers or {1: PEPPER}), cache), clock, url)


@pytest.fixture(scope="module")
async def keys_url(servers: Servers) -> AsyncIterator[str]:
    """A migrated database for the tests of a module one after the other."""
    async with fresh_database(servers) as url:
        yield url


@pytest.fixture(scope="module")
async def keys_database(keys_url: str) -> AsyncIterator[Database]:
    """Its connections, which a process has open when work comes."""
    async with opened(keys_url) as database:
        yield database


@pytest.fixture
async def bench(keys_database: Database, keys_url: str) -> Bench:
    """The use cases of one process on empty tables."""
    bench = bench_on(keys_database, keys_url)
    await bench.sql(
        "TRUNCATE api_keys, undelivered_keys, holdings, principal_voids, replayed_codes, abandoned_keys,"
        " service_keys, audit, outbox RESTART IDENTITY"
    )
    return bench


@dataclass(frozen=True, slots=True)
class Desk:
    """A running service, a bus that speaks to it as auth_api does, and its stores."""

    url: str
    http: ClientSession
    bus: Bus
    stores: Stores
    settings: Settings

    async def make(self, **fields: Any) -> MintedKey:
        """A live key, made over the bus."""
        key = mint()
        reply = await self.bus.request(command(key, **fields))
        assert reply.outcome == "issued"
        return key

    async def check(self, token: str, query: str = "", **headers: str) -> int:
        """The status of a check."""
        headers = {"Authorization": f"Bearer {token}", **headers}
        async with self.http.get(f"{self.url}/api/v1/verify{query}", headers=headers) as answer:
            return answer.status

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows straight from the schema."""
        connection = await asyncpg.connect(self.stores.database_url, server_settings={"search_path": SCHEMA})
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def readiness(self) -> dict[str, Any]:
        """What `/readyz` says."""
        async with self.http.get(f"{self.url}/readyz") as answer:
            report: dict[str, Any] = await answer.json()
        assert answer.status == (200 if report["status"] in ("ok", "degraded") else 503)
        return report

    async def is_well(self) -> bool:
        """Whether `/readyz` says ok: every store is there, and revocations are heard."""
        return bool((await self.readiness())["status"] == "ok")

    async def misses(self) -> float:
        """How often a check had to read the table."""
        async with self.http.get(f"{self.url}/metrics") as answer:
            text = await answer.text()
        return float(text.split("\nlatchkey_key_cache_misses_total ")[1].split("\n")[0])

    async def make_service_key(self, *permissions: str, name: str = "api") -> MintedKey:
        """A service key, as the operator's command makes it."""
        key = mint(SERVICE_KEY)
        sealed = Peppers(self.settings.key_peppers).seal(key.digest)
        names = list(permissions) or ["introspect"]
        await self.sql(
            "INSERT INTO service_keys (key_id, name, digest, pepper_version, permissions, created_on)"
            " VALUES ($1, $2, $3, 1, $4, 0)",
            key.key_id,
            name,
            sealed,
            names,
        )
        return key


def open_bus(stores: Stores) -> AbstractAsyncContextManager[Bus]:
    """The bus as auth_api holds it."""
    return started(Bus(stores.redis_url, source="auth_api", clock=SystemClock()))


@asynccontextmanager
async def open_desk(stores: Stores, **variables: str) -> AsyncIterator[Desk]:
    """The service on these stores; a second one is a second replica."""
    port = free_port()
    given = {f"LATCHKEY_{name}": value for name, value in variables.items()}
    settings = load_settings({"LATCHKEY_PUBLIC_URL": URL, **stores.environment(), **given})
    async with (
        serving(create_app(settings), "127.0.0.1", port, drain_seconds=1),
        ClientSession(timeout=ClientTimeout(total=15)) as http,
        open_bus(stores) as bus,
    ):
        yield Desk(f"http://127.0.0.1:{port}", http, bus, stores, settings)


@pytest.fixture(scope="module")
async def desk(servers: Servers) -> AsyncIterator[Desk]:
    """The service for the tests of a module together; each makes its own keys."""
    async with fresh_stores(servers) as stores, open_desk(stores) as desk:
        yield desk
