"""The scene of one failure: people, codes and keys on real processes, and what the stores say of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import asyncpg
import httpx
from redis.asyncio import Redis

from tests.chaos.cluster import Cluster, running_cluster
from tests.harness.processes import command
from tests.harness.routing import routed_site
from tests.harness.site import Client, Person, Site

COMMANDS: Final = "lk:{key_issuer:0}:commands"
LONGEST_SECONDS: Final = 4.0
"""Within that every endpoint has answered 503 where it cannot do better."""
PATIENCE_SECONDS: Final = 30.0

_LINGER: Final = """
CREATE FUNCTION keys.linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF coalesce(current_setting('chaos.slept', true), '') = '' THEN
        PERFORM set_config('chaos.slept', 'yes', true);
        PERFORM pg_sleep(0.5);
    END IF;
    RETURN NULL;
END $$
"""
"""Once a transaction, however many keys it makes."""

Asking = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Consented:
    """Somebody who has just accepted: the person holds no other key."""

    person: Person
    client: Client
    code: str


@dataclass(frozen=True, slots=True)
class Scene:
    """The processes, and two ways to them: by the first replica of each service and by the second."""

    cluster: Cluster
    one: Site
    two: Site

    async def consented(self, **client: Any) -> Consented:
        """A new person, a client of theirs, and a code."""
        person = await self.one.sign_up()
        registered = await person.create_client(**client)
        return Consented(person, registered, await person.create_code(registered))

    def exchange(self, site: Site, given: Consented, **headers: str) -> Awaitable[httpx.Response]:
        """One exchange by that replica."""
        form = {"grant_type": "authorization_code", "code": given.code}
        return site.http.post(
            "/api/v1/oauth/token", data=form, auth=given.client.basic, headers=headers, timeout=15
        )

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows straight from the database; waits where it is just starting again."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    connection = await asyncpg.connect(
                        self.cluster.environ["LATCHKEY_DATABASE_URL"],
                        server_settings={"default_transaction_read_only": "off"},
                    )
                    try:
                        return await connection.fetch(statement, *arguments)
                    finally:
                        await connection.close()
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        """A client of the server."""
        async with Redis.from_url(self.cluster.environ["LATCHKEY_REDIS_URL"]) as client:
            yield client

    async def live_keys(self, person: Person) -> list[str]:
        """The ids of the person's keys that are not revoked."""
        rows = await self.sql(
            "SELECT key_id FROM keys.api_keys WHERE user_id = $1 AND status <> 'revoked'", person.user_id
        )
        return [row["key_id"] for row in rows]

    async def linger_before_commit(self) -> None:
        """From now on PostgreSQL sleeps half a second before it commits a new key, however key_issuer makes it."""
        await self.sql(_LINGER)
        await self.sql(
            "CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON keys.api_keys DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION keys.linger()"
        )

    async def is_inserting(self) -> bool:
        """Whether a key stands between INSERT and COMMIT, where ``linger_before_commit`` keeps it for a while."""
        return bool(
            await self.sql(
                "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name LIKE 'latchkey-key%'"
            )
        )

    async def has_row(self, person: Person) -> bool:
        """Whether a key of the person was committed."""
        return bool(await self.sql("SELECT FROM keys.api_keys WHERE user_id = $1", person.user_id))

    async def has_backlog(self, commands: int = 1) -> bool:
        """Whether so many commands wait or are being worked on."""
        async with self.redis() as redis:
            return bool(await redis.xlen(COMMANDS) >= commands)

    async def is_answered(self) -> bool:
        """Whether every command has been ended."""
        return not await self.has_backlog()

    async def settled(self, seconds: float = 60.0) -> None:
        """Waits until nothing waits anywhere: no backlog, nothing pending, no dead letter."""

        async def is_quiet() -> bool:
            try:
                printed = await asyncio.to_thread(
                    command, "bus", "status", "--json", environ=self.cluster.environ
                )
            except AssertionError:
                return False
            return bool(json.loads(printed)["quiet"])

        await until(is_quiet, seconds)


@asynccontextmanager
async def playing(
    folder: Path, *services: str, environ: Mapping[str, str] = MappingProxyType({}), **variables: str
) -> AsyncIterator[Scene]:
    """A scene with these services; a missing second replica is the first one."""
    added = {**environ, **{f"LATCHKEY_{name}": value for name, value in variables.items()}}
    async with running_cluster(folder, added, services) as cluster:
        names = ("auth-api", "consent-ui", "key-issuer")
        first = {name: cluster.urls[f"{name}-1"] for name in names}
        second = {name: cluster.urls.get(f"{name}-2", first[name]) for name in names}
        async with (
            routed_site(cluster.public_url, first) as one,
            routed_site(cluster.public_url, second) as two,
        ):
            yield Scene(cluster, one, two)


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> None:
    """Polls until something is so."""
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.02)


async def attempt(asking: Awaitable[httpx.Response]) -> httpx.Response | None:
    """The answer, or ``None`` where the connection broke before there was one."""
    try:
        return await asking
    except httpx.TransportError:
        return None


async def eventually(ask: Asking, seconds: float = PATIENCE_SECONDS) -> httpx.Response:
    """The first answer that is neither lost nor 503, as a client that tries again sees it."""
    async with asyncio.timeout(seconds):
        while True:
            answer = await attempt(ask())
            if answer is not None and answer.status_code not in (409, 503):
                return answer
            await asyncio.sleep(0.2)


async def timed(asking: Awaitable[httpx.Response]) -> tuple[httpx.Response, float]:
    """The answer and its seconds."""
    began = time.monotonic()
    answer = await asking
    return answer, time.monotonic() - began


def is_unavailable(answer: httpx.Response, seconds: float) -> None:
    """503, in time, and it says when to try again."""
    assert answer.status_code == 503, f"{answer.request.url.path}: {answer.status_code} {answer.text[:300]}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert seconds < LONGEST_SECONDS, f"{answer.request.url.path} took {seconds:.2f} s"
