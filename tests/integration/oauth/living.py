"""Services as processes on stores of their own, whose line to Redis can be cut."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from deploy.embedded.ports import free_port
from shared.secret_tokens import digest_of
from tests.harness.backends import new_folder
from tests.harness.processes import SERVICES, RunningProcess, is_ready, starting
from tests.harness.routing import routed_site
from tests.harness.site import Client, Person, Site
from tests.harness.stores import Servers, Stores, fresh_stores
from tests.integration.oauth.severable import Severable


@dataclass(slots=True)
class Live:
    """Services as processes on stores of their own."""

    site: Site
    stores: Stores
    urls: Mapping[str, str]
    environs: Mapping[str, Mapping[str, str]]
    folder: Path
    stack: ExitStack
    processes: dict[str, RunningProcess]

    async def start(self, name: str, **variables: str) -> None:
        """Starts a service on its port, and waits until it is ready."""
        added = {f"LATCHKEY_{variable}": value for variable, value in variables.items()}
        port = self.urls[name].rpartition(":")[2]
        process = self.stack.enter_context(
            starting(
                "serve", name, "--port", port, folder=self.folder, environ={**self.environs[name], **added}
            )
        )
        self.processes[name] = process
        await asyncio.to_thread(process.wait_until, lambda: is_ready(self.urls[name]), "it was ready")

    async def stop(self, name: str) -> None:
        """SIGTERM, and waits for the end."""
        await asyncio.to_thread(self.processes[name].stop)

    async def consented(self, **client: Any) -> tuple[Person, Client]:
        """A person, and a client of theirs with a name that no other has."""
        person = await self.site.sign_up()
        return person, await person.create_client(name=f"App {secrets.token_hex(4)}", **client)

    async def statuses(self, person: Person) -> list[str]:
        """What the database says of a person's keys."""
        connection = await asyncpg.connect(self.stores.database_url)
        try:
            rows = await connection.fetch(
                "SELECT status FROM keys.api_keys WHERE user_id = $1", person.user_id
            )
        finally:
            await connection.close()
        return [row["status"] for row in rows]

    async def forget_code(self, code: str) -> None:
        """Redis has forgotten a code, as it does some twenty minutes after its use."""
        async with Redis.from_url(self.stores.redis_url) as redis:
            found = [key async for key in redis.scan_iter(f"*{digest_of(code)}*")]
            assert found, "Redis knows the code"
            await redis.delete(*found)


@asynccontextmanager
async def living(
    servers: Servers,
    run_directory: Path,
    *,
    names: tuple[str, ...] = ("auth-api", "key-issuer"),
    auth_redis: Callable[[str], Severable] | None = None,
    environs: Mapping[str, Mapping[str, str]] | None = None,
    **variables: str,
) -> AsyncIterator[tuple[Live, Severable]]:
    """The services, and the line between auth_api and Redis."""
    async with fresh_stores(servers) as stores, Severable(stores.redis_url).serving() as line:
        urls = {name: f"http://127.0.0.1:{free_port()}" for name in SERVICES}
        common = {
            **stores.environment(),
            "LATCHKEY_PUBLIC_URL": urls["auth-api"],
            "LATCHKEY_THROTTLE": "off",
            **{f"LATCHKEY_{name}": value for name, value in variables.items()},
        }
        own = {"auth-api": {"LATCHKEY_REDIS_URL": line.url}, **(environs or {})}
        stack = ExitStack()
        async with routed_site(urls["auth-api"], urls) as site:
            folder = new_folder(run_directory)
            each = {name: {**common, **own.get(name, {})} for name in SERVICES}
            live = Live(site, stores, urls, each, folder, stack, {})
            try:
                await asyncio.gather(*(live.start(name) for name in names))
                yield live, line
            finally:
                line.mend()
                await asyncio.to_thread(stack.close)


Start = Callable[..., Any]
