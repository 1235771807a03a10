"""`GET /api/v1/revocations`: resource servers hear of what was taken back, and never miss any of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from shared.api_key import MintedKey
from shared.contracts.keys import RevokeKey
from tests.harness.stores import Servers, fresh_stores
from tests.integration.key_issuer.conftest import Desk, mint, open_desk, until
from tests.integration.key_issuer.streams import PATH, listening


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two processes on the same stores, and a service key."""

    one: Desk
    two: Desk
    service: MintedKey

    async def revoke(self, *keys: MintedKey) -> list[str]:
        """Revokes keys in this order; their ids."""
        for key in keys:
            await self.one.bus.request(RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))
        return [key.key_id for key in keys]

    async def make_and_revoke(self, count: int) -> list[str]:
        """New keys that are revoked at once; their ids."""
        return await self.revoke(*[await self.one.make() for _ in range(count)])


@pytest.fixture(scope="module")
async def replicas(servers: Servers) -> AsyncIterator[Replicas]:
    """For the tests of the module together."""
    async with fresh_stores(servers) as stores, open_desk(stores) as one, open_desk(stores) as two:
        await until(one.is_well)
        await until(two.is_well)
        yield Replicas(one, two, await one.make_service_key())


async def test_a_revocation_is_heard_at_every_process(replicas: Replicas) -> None:
    """After a reset, since nobody knows what the listener remembers; then heartbeats."""
    token = replicas.service.token
    async with listening(replicas.one.url, token) as one, listening(replicas.two.url, token) as two:
        for stream in (one, two):
            assert stream.answer.headers["Content-Type"] == "text/event-stream"
            assert (await stream.first("reset")).data == {}
        revoked = await replicas.make_and_revoke(3)
        assert await one.keys(*revoked) == revoked
        assert await two.keys(*revoked) == revoked
        assert one.last == two.last
        await one.first("heartbeat")
        await two.first("heartbeat")


async def test_a_listener_that_comes_back_gets_what_it_missed(replicas: Replicas) -> None:
    """At any process, in order and nothing twice, whatever its place was."""
    token = replicas.service.token
    async with listening(replicas.one.url, token) as stream:
        place = (await stream.first("reset")).id
    missed = await replicas.make_and_revoke(3)
    for desk in (replicas.one, replicas.two):
        async with listening(desk.url, token, place) as stream:
            assert await stream.keys(*missed) == missed
            later = await replicas.make_and_revoke(1)
            assert await stream.keys(*later) == later
            missed += later


async def test_the_headers_keep_proxies_from_holding_it_back(replicas: Replicas) -> None:
    """It is never kept nor compressed, also for one who would take that."""
    encodings = {"Accept-Encoding": "gzip, br, zstd, deflate"}
    async with listening(replicas.one.url, replicas.service.token, **encodings) as stream:
        headers = stream.answer.headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Request-ID"]
        assert "Content-Encoding" not in headers
        await stream.first("reset")


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer x", "Basic eDp5", "Bearer é"])
async def test_without_a_live_key_there_is_no_stream(replicas: Replicas, authorization: str | None) -> None:
    """401, as at every check."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with replicas.one.http.get(f"{replicas.one.url}{PATH}", headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert (await answer.json())["error"] == "invalid_token"


async def test_only_a_service_key_that_may_introspect_listens(replicas: Replicas) -> None:
    """403 for every other live key: another service's, a person's."""
    other = await replicas.one.make_service_key("users")
    person = await replicas.one.make()
    ended = mint("lks")
    for token, status in ((other.token, 403), (person.token, 403), (ended.token, 401)):
        headers = {"Authorization": f"Bearer {token}"}
        async with replicas.one.http.get(f"{replicas.one.url}{PATH}", headers=headers) as answer:
            assert answer.status == status
            if status == 403:
                assert 'scope="introspect"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_refused(replicas: Replicas, method: str) -> None:
    """A HEAD of what has no end says nothing."""
    headers = {"Authorization": f"Bearer {replicas.service.token}"}
    async with replicas.one.http.request(method, f"{replicas.one.url}{PATH}", headers=headers) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET"
