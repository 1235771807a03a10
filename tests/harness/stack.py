"""The three services in the test's own process, on one port, as `latchkey up` runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg
from aiohttp import web

from deploy.all_in_one import create_app
from deploy.embedded.ports import free_port
from shared.settings import Settings, load_settings
from shared.web.health import READINESS, Report
from shared.web.server import serving
from tests.harness.site import Site
from tests.harness.stores import Servers, Stores, fresh_stores

_READY_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Stack:
    """Running services, and everything a test may want to reach behind them."""

    url: str
    settings: Settings
    stores: Stores
    site: Site
    """The same, as people and programs see it."""

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows straight from the database; tables are named with their schema (`keys.api_keys`)."""
        connection = await asyncpg.connect(self.stores.database_url)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()


@asynccontextmanager
async def running_stack(servers: Servers, variables: Mapping[str, str] | None = None) -> AsyncIterator[Stack]:
    """Fresh stores with the services on them, ready.

    Args:
        servers: of this run.
        variables: configuration without its prefix, like `{"CODE_TTL_SECONDS": "1"}`.
    """
    async with fresh_stores(servers) as stores, serving_stack(stores, variables) as stack:
        yield stack


@asynccontextmanager
async def serving_stack(stores: Stores, variables: Mapping[str, str] | None = None) -> AsyncIterator[Stack]:
    """The services on given stores, ready; a second one on the same stores is a second replica."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    given = {f"LATCHKEY_{name}": value for name, value in (variables or {}).items()}
    settings = load_settings({"LATCHKEY_PUBLIC_URL": url, **stores.environment(), **given})
    application = create_app(settings)
    async with (
        serving(application, "127.0.0.1", port, drain_seconds=2),
        Site.at(url, settings.origin) as site,
    ):
        await _ready(application)
        yield Stack(url, settings, stores, site)


async def _ready(application: web.Application) -> None:
    report: Report | None = None
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while report is None or not report.ready:
                report = await application[READINESS].report()
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"the services did not become ready: {report}") from None
