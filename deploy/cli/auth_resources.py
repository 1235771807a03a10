"""What the commands on accounts and clients stand on: auth_api's use cases without its server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from services.auth_api.db.repository import QUERIES, SCHEMA
from services.auth_api.resources import Resources, make_resources
from shared.clock import SystemClock
from shared.database import Database, load_queries
from shared.settings import Settings, load_settings
from shared.telemetry.logs import configure_logging

ResultT = TypeVar("ResultT")

DATABASE: Final = frozenset({"auth_api_database_url"})
EVERYTHING: Final = frozenset({"auth_api_database_url", "redis_url"})

ENDS_LATER: Final = "The services do not answer now; its keys end as soon as they run."


def auth_database(settings: Settings) -> Database:
    """The schema of auth_api alone, for a command that only notes in it what it did."""
    return Database(
        settings.auth_api_database_url,
        schema=SCHEMA,
        queries=load_queries(QUERIES),
        application_name="latchkey-cli",
        pool_size=1,
    )


def with_auth(
    work: Callable[[Resources], Awaitable[ResultT]], *, bus: bool = False, secrets: bool = False
) -> ResultT:
    """Runs ``work`` on the configured stores; with ``bus`` it may also ask the other services, with ``secrets`` derive keys."""
    need = EVERYTHING if bus else DATABASE
    settings = load_settings(need=need | {"secrets"} if secrets else need)
    configure_logging(level="error", log_format=settings.log_format, service="cli")

    async def main() -> ResultT:
        resources = make_resources(settings, SystemClock())
        if bus:
            await resources.bus.start()
        try:
            return await work(resources)
        finally:
            if bus:
                await resources.bus.stop()
            await resources.database.stop()
            resources.passwords.close()
            resources.field_checker.close()

    return asyncio.run(main())
