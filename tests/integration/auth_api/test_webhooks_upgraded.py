"""Webhooks after an upgrade from a release that sent none: beside its processes, with its rights in Redis, with its rows."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from deploy.schemas import migrate_all
from services.key_issuer.app import create_app as create_issuer
from shared.bus.names import event_stream
from shared.contracts.events import KeysChanged
from shared.migrations import migrate
from shared.settings import load_settings
from shared.web.server import serving
from tests.fixtures.releases import SCHEMA_NAMES, Release, kept
from tests.harness.rights import deployed
from tests.harness.stores import Servers, Stores, fresh_database, fresh_key_space, fresh_stores
from tests.harness.webhooks import Receiver
from tests.integration.auth_api.conftest import serving_registry
from tests.integration.every_flow import play_every_flow
from tests.integration.key_issuer.conftest import until

BEFORE = Release("0.2.0")
OPEN = {"THROTTLE": "off", "PRIVATE_TARGETS": "on"}
DAY = 86_400_000


@asynccontextmanager
async def connected(url: str, schema: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """As a process of a service has it."""
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    try:
        yield connection
    finally:
        await connection.close()


async def old_client(url: str, address: str) -> str:
    """A client with an address, as the release before wrote it down; its id."""
    row = {
        "client_id": "old-client",
        "name": "Old",
        "author_id": None,
        "redirect_uris": [],
        "requested_permissions": ["customise_score"],
        "webhook_uri": address,
        "public": False,
        "secret_digest": "00",
        "by_operator": True,
        "self_registered": False,
        "created_on": 1,
    }
    async with connected(url, "auth") as connection:
        await connection.execute(BEFORE.queries("auth")["insert_client"], row)
    return "old-client"


async def old_keys(url: str, client_id: str, **expiries: int | None) -> None:
    """Keys of that client with these ids, as the release before made them; when each expires."""
    common: dict[str, Any] = {
        "user_id": 7,
        "username": "kim",
        "client_id": client_id,
        "identifier": "x",
        "permissions": "customise_score",
        "origin": "code",
        "consented_on": 1,
        "attempt": 1,
    }
    rows = [
        {**common, "key_id": key_id, "digest": key_id.encode().hex().ljust(64, "0"), "expires_on": expires_on}
        for key_id, expires_on in expiries.items()
    ]
    async with connected(url, "keys") as connection:
        await connection.execute(BEFORE.queries("keys")["insert_keys"], json.dumps(rows), 1, 1)


async def old_end(url: str, *key_ids: str) -> None:
    """A process of the release before ends keys."""
    async with connected(url, "keys") as connection:
        query = BEFORE.queries("keys")["end_keys"]
        await connection.execute(query, list(key_ids), time.time_ns() // 1_000_000, "revoked by its owner")


@pytest.mark.parametrize(
    "release", [each for each in kept() if each.redis_users], ids=lambda release: release.version
)
async def test_everything_works_with_the_redis_users_of_a_release(
    servers: Servers, receiver: Receiver, release: Release
) -> None:
    """Redis comes last in an upgrade: until then services have the rights of before, and webhooks leave all the same."""
    assert release.redis_users is not None
    async with (
        fresh_stores(servers) as stores,
        deployed(stores, users=release.redis_users, REGISTRATION="on", PRIVATE_TARGETS="on") as deployment,
    ):
        await play_every_flow(deployment.site)
        person = await deployment.site.sign_up()
        client = await person.create_client(webhookUri=receiver.url)
        key = await person.give_key(client)
        assert (await person.http.delete(f"/api/v1/keys/{key['keyID']}")).status_code == 204
        (heard,) = await receiver.wait_for(1)
        assert heard.event["data"]["keyID"] == key["keyID"]
        # What pages tell a full Redis (docs/operating.md) waits for the new rights; a page does without where there is room.
        denied = [line for line in await deployment.denied() if not line.endswith("command evalsha")]
        assert denied == []


async def test_rows_of_the_release_before_are_told_of_from_the_upgrade_on(
    servers: Servers, receiver: Receiver
) -> None:
    """What expired before is not: nobody listened. What its processes end afterwards is, and what expires then."""
    async with fresh_database(servers, migrated=False) as url, fresh_key_space(servers) as redis_url:
        for schema in SCHEMA_NAMES:
            await migrate(url, schema, BEFORE.migrations(schema))
        client_id = await old_client(url, receiver.url)
        now = time.time_ns() // 1_000_000
        await old_keys(url, client_id, long_over=now - DAY, soon_over=now + 3_600_000, endless=None)
        await old_keys(url, client_id, over_before=now - 1, ended_before=None)
        await old_end(url, "ended_before")
        async for _ in migrate_all(load_settings({"LATCHKEY_DATABASE_URL": url})):
            pass
        stores = Stores(url, redis_url)
        async with serving_registry(stores, OPEN) as registry:
            await old_end(url, "endless")
            await registry.sql(
                "UPDATE keys.api_keys SET expires_on = $1 WHERE key_id = 'soon_over'",
                time.time_ns() // 1_000_000,
            )
            heard = await receiver.wait_for(2, 20)
            told = {each.event["data"]["keyID"]: each.event["type"] for each in heard}
            assert told == {"endless": "key.revoked", "soon_over": "key.expired"}
            kept_rows = await registry.sql("SELECT key_id FROM auth.webhook_deliveries")
            assert len(kept_rows) == 2, "nothing else waits either"


async def test_what_key_issuer_says_before_auth_api_is_new_waits_for_it(
    servers: Servers, receiver: Receiver
) -> None:
    """key_issuer is upgraded first: nobody reads its events of keys yet, and none is lost."""
    async with fresh_stores(servers) as stores:
        client_id = await old_client(stores.database_url, receiver.url)
        await old_keys(stores.database_url, client_id, first=None, second=None)
        settings = load_settings(stores.environment())
        async with (
            serving(create_issuer(settings), "127.0.0.1", 0, drain_seconds=1),
            Redis.from_url(stores.redis_url) as server,
        ):
            await old_end(stores.database_url, "first", "second")

            async def is_said() -> bool:
                return bool(await server.xlen(event_stream(KeysChanged.stream)))

            await until(is_said)
        async with serving_registry(stores, OPEN):
            heard = await receiver.wait_for(2, 20)
        assert {each.event["data"]["keyID"] for each in heard} == {"first", "second"}
