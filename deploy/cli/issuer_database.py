"""key_issuer's database for one command: opened, used, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.key_issuer.db.repository import PLANS, QUERIES, SCHEMA
from services.key_issuer.issuer import Issuer
from services.key_issuer.verification import KeyCache
from shared.clock import SystemClock
from shared.database import Database, load_queries
from shared.secret_tokens import Peppers
from shared.settings import Settings, load_settings
from shared.telemetry.logs import configure_logging

ResultT = TypeVar("ResultT")


def with_keys(work: Callable[[Database], Awaitable[ResultT]]) -> ResultT:
    """Runs ``work`` on the database of the keys.

    Raises:
        ConfigurationError: there is no database's address.
        StoreUnavailable: it does not answer.
    """
    return _run(load_settings(need=frozenset({"key_issuer_database_url"})), work)


def with_issuer(work: Callable[[Issuer, Settings], Awaitable[ResultT]]) -> ResultT:
    """Runs ``work`` with what it needs to make and end keys; running services hear of it by their outbox.

    Raises:
        ConfigurationError: the database's address or the pepper is missing.
        StoreUnavailable: the database does not answer.
    """
    settings = load_settings(need=frozenset({"key_issuer_database_url", "key_peppers"}))
    clock = SystemClock()

    def issuer(database: Database) -> Awaitable[ResultT]:
        cache = KeyCache(clock.monotonic)
        return work(Issuer(database, clock, Peppers(settings.key_peppers), cache), settings)

    return _run(settings, issuer)


def _run(settings: Settings, work: Callable[[Database], Awaitable[ResultT]]) -> ResultT:
    configure_logging(level="error", log_format=settings.log_format, service="cli")

    async def main() -> ResultT:
        database = Database(
            settings.key_issuer_database_url,
            schema=SCHEMA,
            queries=load_queries(QUERIES),
            application_name="latchkey-cli",
            pool_size=1,
            parameters=PLANS,
        )
        try:
            return await work(database)
        finally:
            await database.stop()

    return asyncio.run(main())
