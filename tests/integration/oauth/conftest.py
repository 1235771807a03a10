"""auth_api and key_issuer in the test's own process, and what tests of the protocol need of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import asyncpg
import httpx
import pytest
from aiohttp import web

from deploy.embedded.ports import free_port
from services.auth_api.app import create_app
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.resources import Resources
from services.key_issuer.app import create_app as create_issuer
from shared.bus import Bus
from shared.clock import Clock
from shared.settings import load_settings
from shared.web.server import serving
from tests.harness.buses import started
from tests.harness.site import Client, Person, Site
from tests.harness.stores import Servers, Stores, fresh_stores


@dataclass(frozen=True, slots=True)
class Provider:
    """A running authorization server, and what a test may want to reach behind it."""

    site: Site
    issuer: Site
    """key_issuer, for `/api/v1/verify`."""
    resources: Resources
    pages: Bus
    """The bus as consent_ui has it."""
    stores: Stores

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows straight from the database."""
        connection = await asyncpg.connect(self.stores.database_url)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def live_keys(self, user_id: int) -> int:
        """How many live keys a person has: the oracle of the abuse cases."""
        rows = await self.sql(
            "SELECT count(*) AS n FROM keys.api_keys WHERE user_id = $1 AND status = 'active'", user_id
        )
        return int(rows[0]["n"])

    async def all_keys(self, user_id: int) -> int:
        """How many keys a person has or had."""
        rows = await self.sql("SELECT count(*) AS n FROM keys.api_keys WHERE user_id = $1", user_id)
        return int(rows[0]["n"])

    async def causes(self, author: Person, client: Client) -> list[str]:
        """What the client's activity log says, newest first."""
        answer = await author.http.get(f"/api/v1/clients/{client.client_id}/attempts")
        assert answer.status_code == httpx.codes.OK, answer.text
        return [attempt["cause"] for attempt in answer.json()]


ProviderStarter = Callable[..., AbstractAsyncContextManager[Provider]]


@asynccontextmanager
async def running_provider(servers: Servers, **variables: str) -> AsyncIterator[Provider]:
    """Fresh stores with auth_api and key_issuer on them."""
    async with fresh_stores(servers) as stores, serving_provider(stores, variables) as provider:
        yield provider


@asynccontextmanager
async def serving_provider(
    stores: Stores,
    variables: Mapping[str, str] | None = None,
    *,
    issuing: bool = True,
    clock: Clock | None = None,
) -> AsyncIterator[Provider]:
    """Both services on given stores; a second one on the same stores is a second replica, maybe of another time."""
    port, issuer_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    given = {f"LATCHKEY_{name}": value for name, value in (variables or {}).items()}
    settings = load_settings({"LATCHKEY_PUBLIC_URL": url, **stores.environment(), **given})
    application = create_app(settings, clock)
    issuer = create_issuer(settings) if issuing else None
    async with (
        _maybe_serving(issuer, issuer_port),
        serving(application, "127.0.0.1", port, drain_seconds=1),
        Site.at(url, settings.origin) as site,
        Site.at(f"http://127.0.0.1:{issuer_port}", settings.origin) as keys,
        started(Bus(stores.redis_url, source="consent_ui", clock=clock)) as pages,
    ):
        yield Provider(site, keys, application[RESOURCES], pages, stores)


@asynccontextmanager
async def _maybe_serving(application: web.Application | None, port: int) -> AsyncIterator[None]:
    if application is None:
        yield
    else:
        async with serving(application, "127.0.0.1", port, drain_seconds=1):
            yield


@pytest.fixture(scope="module")
async def provider(servers: Servers) -> AsyncIterator[Provider]:
    """The services for the tests of a module together; each makes its own people. Limits are off."""
    async with running_provider(servers, THROTTLE="off", CLIENTS_PER_USER="10000") as provider:
        yield provider


@pytest.fixture(scope="module")
async def author(provider: Provider) -> Person:
    """Somebody who registers clients."""
    return await provider.site.sign_up()


@pytest.fixture
async def person(provider: Provider) -> Person:
    """Somebody who gives keys; a new one for each test."""
    return await provider.site.sign_up()


@pytest.fixture
def start_provider(servers: Servers) -> ProviderStarter:
    """Starts services of the test's own, with variables like ``CODE_TTL_SECONDS="1"``, for ``async with``."""
    return partial(running_provider, servers)
