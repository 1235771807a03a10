"""A store is away: what can still be answered is, everything else is 503 in time, and nothing needs a hand afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from services.key_issuer.changes import change_key
from services.key_issuer.revocation import revoke_key
from shared.api_key import MintedKey
from shared.contracts.keys import ChangeKey, RevokeKey
from tests.harness.stores import Servers, fresh_stores
from tests.integration.key_issuer.conftest import Desk, command, mint, open_bench, open_bus, open_desk, until
from tests.integration.key_issuer.gate import Gate, gate_to


@dataclass(frozen=True, slots=True)
class Site:
    """The service behind a gate to each store; the test itself goes straight to both."""

    desk: Desk
    postgres: Gate
    redis: Gate

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, str], str, float]:
        """Status, headers, body, seconds."""
        began = time.monotonic()
        async with self.desk.http.request(method, self.desk.url + path, **options) as answer:
            return answer.status, dict(answer.headers), await answer.text(), time.monotonic() - began

    async def check(self, key: MintedKey | str) -> tuple[int, dict[str, str], str, float]:
        """One check."""
        token = key if isinstance(key, str) else key.token
        return await self.ask("GET", "/api/v1/verify", headers={"Authorization": f"Bearer {token}"})

    async def remember(self, key: MintedKey) -> None:
        """Checks a key until that needs no look at the table any more."""

        async def is_remembered() -> bool:
            before = await self.desk.misses()
            assert (await self.check(key))[0] == 200
            return await self.desk.misses() == before

        await until(is_remembered)

    async def is_ready(self) -> bool:
        """Whether all is well again."""
        return await self.desk.is_well()


@pytest.fixture(scope="module")
async def gated(servers: Servers) -> AsyncIterator[Site]:
    """A service behind gates for the tests of this module one after the other."""
    async with (
        fresh_stores(servers) as stores,
        gate_to(stores.database_url) as postgres,
        gate_to(stores.redis_url) as redis,
        open_desk(replace(stores, database_url=postgres.url, redis_url=redis.url)) as desk,
        open_bus(stores) as bus,
    ):
        yield Site(replace(desk, bus=bus, stores=stores), postgres, redis)


@pytest.fixture
async def site(gated: Site) -> AsyncIterator[Site]:
    """The service with both gates open, and open again afterwards."""
    await until(gated.is_ready)
    yield gated
    await gated.postgres.open()
    await gated.redis.open()
    await until(gated.is_ready)


@pytest.mark.parametrize("silent", [False, True])
async def test_without_postgresql_remembered_keys_are_checked_and_nothing_else(
    site: Site, silent: bool
) -> None:
    """503 with Retry-After within 4 s, never 401 for a key that nobody can look up."""
    known, unknown = await site.desk.make(), await site.desk.make()
    await site.remember(known)
    if silent:
        site.postgres.silence()
    else:
        await site.postgres.shut()
    assert (await site.check(known))[0] == 200
    assert (await site.check("garbage"))[0] == 401
    service = {"Authorization": f"Bearer {mint('s').token}"}
    report = {"json": {"token": unknown.token}}
    answers = await asyncio.gather(
        site.check(unknown),
        site.ask("GET", "/api/v1/status", headers={"Authorization": f"Bearer {unknown.token}"}),
        site.ask("POST", "/api/v1/oauth/introspect", data={"token": "x"}, headers=service),
        site.ask("POST", "/api/v1/keys/report-leak", **report),
    )
    for status, headers, _body, seconds in answers:
        assert status == 503
        assert int(headers["Retry-After"]) >= 1
        assert seconds < 12
    assert (await site.ask("GET", "/api/v1/status"))[0] == 200
    readiness = await site.desk.readiness()
    assert readiness["status"] == "degraded"
    assert readiness["dependencies"]["postgres"] != "ok"
    assert readiness["dependencies"]["redis"] == "ok"
    await site.postgres.open()
    await until(site.is_ready)
    assert (await site.check(unknown))[0] == 200


async def test_a_remembered_key_is_not_believed_for_long(site: Site) -> None:
    """Five seconds after the last read the answer is 503."""
    key = await site.desk.make()
    await site.remember(key)
    await site.postgres.shut()

    async def is_forgotten() -> bool:
        status = (await site.check(key))[0]
        assert status in (200, 503)
        return status == 503

    await until(is_forgotten, 8.0)


async def test_without_redis_keys_are_checked_from_postgresql(site: Site) -> None:
    """Also keys that were never seen, by resource servers too; a client's own questions have to wait."""
    key, unknown = await site.desk.make(), await site.desk.make()
    service = await site.desk.make_service_key()
    await site.remember(key)
    await site.redis.shut()
    for each in (key, unknown):
        assert (await site.check(each))[0] == 200
    headers = {"Authorization": f"Bearer {service.token}"}
    status, _, body, _ = await site.ask(
        "POST", "/api/v1/oauth/introspect", data={"token": key.token}, headers=headers
    )
    assert status == 200
    assert key.key_id in body
    assert (await site.ask("GET", "/api/v1/status", headers={"Authorization": f"Bearer {key.token}"}))[
        0
    ] == 200
    client = {"token": key.token, "client_id": "CXFervidex", "client_secret": "x"}
    status, given, body, seconds = await site.ask("POST", "/api/v1/oauth/introspect", data=client)
    assert status == 503
    assert given["Retry-After"]
    assert "temporarily_unavailable" in body
    assert seconds < 12
    report = await site.desk.readiness()
    assert report["status"] == "degraded"
    assert report["dependencies"]["postgres"] == "ok"
    await site.redis.open()
    await until(site.is_ready)
    assert (await site.check(await site.desk.make()))[0] == 200


@pytest.mark.parametrize("silent", [False, True])
async def test_without_redis_a_revoked_key_is_refused_within_five_seconds(site: Site, silent: bool) -> None:
    """Nobody hears of it, so nothing is believed for long."""
    key = await site.desk.make()
    await site.remember(key)
    if silent:
        site.redis.silence()
    else:
        await site.redis.shut()
    async with open_bench(site.desk.stores.database_url) as elsewhere:
        await revoke_key(elsewhere.issuer, RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))

    async def is_refused() -> bool:
        return (await site.check(key))[0] == 401

    await until(is_refused, 5.0)


async def test_what_was_narrowed_during_an_outage_is_known_after_it(site: Site) -> None:
    """The outbox keeps it until Redis is back, and the tail reads on where it was."""
    key = await site.desk.make()
    await site.remember(key)
    await site.redis.shut()
    async with open_bench(site.desk.stores.database_url) as elsewhere:
        await change_key(elsewhere.issuer, ChangeKey(key_id=key.key_id, user_id=2, status="paused"))
    await site.redis.open()

    async def is_refused() -> bool:
        return (await site.check(key))[0] == 401

    await until(is_refused, 5.0)

    async def is_published() -> bool:
        return not await site.desk.sql("SELECT FROM outbox WHERE published_on IS NULL")

    await until(is_published)


async def test_a_command_outlives_a_short_outage_of_postgresql(site: Site) -> None:
    """It is put aside and carried out when the store is back."""
    key = mint()
    await site.postgres.shut()
    await site.desk.bus.send(command(key))

    async def is_put_aside() -> bool:
        async with site.desk.http.get(f"{site.desk.url}/metrics") as answer:
            return 'outcome="delayed",type="key.issue"' in await answer.text()

    await until(is_put_aside)
    await site.postgres.open()

    async def is_made() -> bool:
        return (await site.check(key))[0] == 200

    await until(is_made)
