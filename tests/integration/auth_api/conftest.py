"""auth_api and key_issuer in the test's own process, each on a port of its own, on stores of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import asyncpg
import pytest

from deploy.embedded.ports import free_port
from services.auth_api.app import create_app
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.resources import Resources
from services.key_issuer.app import create_app as create_issuer
from shared.settings import load_settings
from shared.web.server import serving
from tests.harness.site import Site
from tests.harness.stores import Servers, Stores, fresh_stores
from tests.harness.tls import Authority, make_authority
from tests.harness.webhooks import Receiver, receiving
from tests.integration.auth_api.webhook_office import Office, opened_office


@dataclass(frozen=True, slots=True)
class Registry:
    """A running auth_api with an issuer, and what a test may want to reach behind them."""

    site: Site
    issuer: Site
    resources: Resources
    stores: Stores

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows straight from the database."""
        connection = await asyncpg.connect(self.stores.database_url)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()


RegistryStarter = Callable[..., AbstractAsyncContextManager[Registry]]


@asynccontextmanager
async def running_registry(servers: Servers, **variables: str) -> AsyncIterator[Registry]:
    """Fresh stores with auth_api and key_issuer on them."""
    async with fresh_stores(servers) as stores, serving_registry(stores, variables) as registry:
        yield registry


@asynccontextmanager
async def serving_registry(stores: Stores, variables: Mapping[str, str]) -> AsyncIterator[Registry]:
    """Both services on given stores; a second one on the same stores is a second replica."""
    port, issuer_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    given = {f"LATCHKEY_{name}": value for name, value in variables.items()}
    settings = load_settings({"LATCHKEY_PUBLIC_URL": url, **stores.environment(), **given})
    application = create_app(settings)
    async with (
        serving(create_issuer(settings), "127.0.0.1", issuer_port, drain_seconds=1),
        serving(application, "127.0.0.1", port, drain_seconds=1),
        Site.at(url, settings.origin) as site,
        Site.at(f"http://127.0.0.1:{issuer_port}", settings.origin) as issuer,
    ):
        yield Registry(site, issuer, application[RESOURCES], stores)


@pytest.fixture(scope="module")
async def registry(servers: Servers) -> AsyncIterator[Registry]:
    """The services for the tests of a module together; each makes its own people. Limits are off."""
    async with running_registry(servers, THROTTLE="off", KEYS_PER_USER="1000") as registry:
        yield registry


@pytest.fixture
def start_registry(servers: Servers) -> RegistryStarter:
    """Starts services of the test's own, configured by keyword: ``SIGN_UP="closed"``."""
    return partial(running_registry, servers)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """What receivers of webhooks prove themselves with, and services of this process believe."""
    made = make_authority(tmp_path_factory.mktemp("authority"), ("localhost", "127.0.0.1", "127.0.0.2"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(made.certificate))
        yield made


@pytest.fixture
async def receiver(authority: Authority) -> AsyncIterator[Receiver]:
    """A program that hears webhooks."""
    async with receiving(authority) as receiver:
        yield receiver


@pytest.fixture
async def office(servers: Servers, authority: Authority) -> AsyncIterator[Office]:
    """Stores and a sender of the test's own."""
    async with opened_office(servers) as office:
        yield office
