"""The services apart, each with the user in Redis that a deployment gives it (deploy/redis/users.acl.template)."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiohttp import web
from redis.asyncio import Redis

from deploy.embedded.ports import free_port
from services.auth_api.app import create_app as create_auth_api
from services.consent_ui.app import create_app as create_consent_ui
from services.key_issuer.app import create_app as create_key_issuer
from shared.settings import Settings, load_settings
from shared.web.server import serving
from tests.harness.processes import REPOSITORY
from tests.harness.routing import ByPath
from tests.harness.site import Site
from tests.harness.stores import Stores

TEMPLATE: Final = REPOSITORY / "deploy" / "redis" / "users.acl.template"
# In the order in which they are started: a service is asked by those after it.
SERVICES: Final[Mapping[str, Callable[[Settings], web.Application]]] = {
    "key_issuer": create_key_issuer,
    "auth_api": create_auth_api,
    "consent_ui": create_consent_ui,
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """Three services behind one origin."""

    site: Site
    stores: Stores
    settings: Settings
    """With the rights of no service: those of whoever owns the stores."""
    redis_urls: Mapping[str, str]
    """Service → Redis, for its user."""
    applications: Mapping[str, web.Application]
    participants: ByPath
    """What passes all requests of people and programs on."""

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows straight from the database."""
        connection = await asyncpg.connect(self.stores.database_url)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def denied(self) -> list[str]:
        """What Redis has refused to these users so far: who, and which command on what."""
        users = {urlsplit(url).username for url in self.redis_urls.values()}
        async with Redis.from_url(self.stores.redis_url, decode_responses=True) as server:
            entries: list[dict[str, Any]] = await server.acl_log(count=1000)
        return [
            f"{entry['username']}: {entry['reason']} {entry['object']}"
            for entry in entries
            if entry["username"] in users
        ]


def rules_of(service: str, password: str = "", template: Path = TEMPLATE) -> list[str]:
    """What a deployment gives to the user of a service, as words of ``ACL SETUSER``."""
    (rules,) = re.findall(rf"^user {service} (.*)$", template.read_text(encoding="utf-8"), re.MULTILINE)
    words: list[str] = rules.replace(f"@{service}@", hashlib.sha256(password.encode()).hexdigest()).split()
    return words


@asynccontextmanager
async def users_of_services(redis_url: str, template: Path = TEMPLATE) -> AsyncIterator[Mapping[str, str]]:
    """A user for each service, service → URL; gone in the end."""
    url, urls = urlsplit(redis_url), {}
    async with Redis.from_url(redis_url) as server:
        for service in SERVICES:
            name, password = f"{service}-{secrets.token_hex(4)}", secrets.token_hex(16)
            await server.execute_command(  # type: ignore[no-untyped-call]
                "ACL", "SETUSER", name, *rules_of(service, password, template)
            )
            netloc = f"{name}:{password}@{url.netloc.rpartition('@')[2]}"
            urls[service] = urlunsplit(url._replace(netloc=netloc))
        try:
            yield urls
        finally:
            names = [urlsplit(each).username for each in urls.values()]
            await server.execute_command("ACL", "DELUSER", *names)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def deployed(
    stores: Stores, participants: type[ByPath] = ByPath, *, users: Path = TEMPLATE, **variables: str
) -> AsyncIterator[Deployment]:
    """The services on these stores, with the rights of a template, configured by keyword: ``SIGN_UP="closed"``."""
    public_url = f"http://127.0.0.1:{free_port()}"
    given = {f"LATCHKEY_{name}": value for name, value in variables.items()}
    environment = {"LATCHKEY_PUBLIC_URL": public_url, **stores.environment(), **given}
    async with AsyncExitStack() as running, users_of_services(stores.redis_url, users) as redis_urls:
        urls, applications = {}, {}
        for service, create_app in SERVICES.items():
            port = free_port()
            application = create_app(
                load_settings({**environment, "LATCHKEY_REDIS_URL": redis_urls[service]})
            )
            await running.enter_async_context(serving(application, "127.0.0.1", port, drain_seconds=1))
            applications[service] = application
            urls[service] = f"http://127.0.0.1:{port}"
        transport = await running.enter_async_context(participants(urls))
        site = await running.enter_async_context(Site.at(public_url, transport=transport))
        yield Deployment(site, stores, load_settings(environment), redis_urls, applications, transport)
        await running.aclose()
