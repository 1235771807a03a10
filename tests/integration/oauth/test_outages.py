"""Stores and key_issuer away: 503 with Retry-After in time, the code stays good, and no key appears twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.auth_api.codes.store import RedeemAttempt, code_key
from services.key_issuer.app import create_app as create_issuer
from shared.api_key import USER_KEY, mint_key
from shared.errors import BusUnavailable, StoreUnavailable
from shared.secret_tokens import digest_of
from shared.settings import load_settings
from shared.web.server import serving
from tests.harness.site import Client, Person
from tests.harness.stores import Servers, fresh_stores
from tests.integration.bus.conftest import Valkey
from tests.integration.oauth.conftest import Provider, serving_provider
from tests.integration.oauth.severable import Severable

LONGEST_SECONDS = 4.0


@asynccontextmanager
async def without_issuer(servers: Servers, **variables: str) -> AsyncIterator[Provider]:
    """auth_api alone."""
    async with (
        fresh_stores(servers) as stores,
        serving_provider(stores, {"THROTTLE": "off", **variables}, issuing=False) as provider,
    ):
        yield provider


async def unavailable(provider: Provider, client: Client, code: str, **headers: str) -> httpx.Response:
    """An exchange that is answered 503 in time."""
    started = time.monotonic()
    form = {"grant_type": "authorization_code", "code": code}
    answer = await provider.site.http.post(
        "/api/v1/oauth/token", data=form, auth=client.basic, headers=headers
    )
    assert time.monotonic() - started < LONGEST_SECONDS
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["error"] == "temporarily_unavailable"
    return answer


async def eventually_exchanged(
    provider: Provider, client: Client, code: str, **headers: str
) -> httpx.Response:
    """The first answer that is no 503."""
    form = {"grant_type": "authorization_code", "code": code}
    async with asyncio.timeout(15):
        while True:
            answer = await provider.site.http.post(
                "/api/v1/oauth/token", data=form, auth=client.basic, headers=headers
            )
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.1)


async def consented(provider: Provider) -> tuple[Person, Client, str]:
    """A person, a client of theirs, and a code."""
    person = await provider.site.sign_up()
    client = await person.create_client()
    return person, client, await person.create_code(client)


async def test_the_code_stays_good_while_the_issuer_is_away(servers: Servers) -> None:
    """Two tries end in 503; as soon as an issuer runs the same code gives one key."""
    async with without_issuer(servers) as provider:
        person, client, code = await consented(provider)
        await unavailable(provider, client, code)
        await unavailable(provider, client, code)
        causes = await provider.causes(person, client)
        assert any("can be redeemed again" in cause for cause in causes)
        settings = provider.resources.settings
        async with serving(create_issuer(settings), "127.0.0.1", 0, drain_seconds=1):
            answer = await eventually_exchanged(provider, client, code)
            assert answer.status_code == 200, answer.text
            assert await provider.live_keys(person.user_id) == 1
            replayed = await eventually_exchanged(provider, client, code)
            assert replayed.json()["error"] == "invalid_grant"
            assert await provider.live_keys(person.user_id) == 0


async def test_a_key_that_was_made_too_late_is_replaced_and_never_joined(servers: Servers) -> None:
    """The issuer commits after the client was told 503; the retry's key is the one that lives."""
    async with fresh_stores(servers) as stores, Severable(stores.redis_url).serving() as line:
        settings_of_line = {"THROTTLE": "off", "REDIS_URL": line.url}
        async with serving_provider(stores, settings_of_line, issuing=False) as provider:
            person, client, code = await consented(provider)
            # The issuer has a line of its own, so that it works on while auth_api hears nothing of it.
            issuer_settings = load_settings(
                {"LATCHKEY_PUBLIC_URL": provider.resources.settings.public_url, **stores.environment()}
            )
            exchange = asyncio.create_task(unavailable(provider, client, code))
            async with asyncio.timeout(10):
                while not await provider.resources.bus.redis.execute("XLEN", "lk:{key_issuer:0}:commands"):
                    await asyncio.sleep(0.01)
            line.stall()
            async with serving(create_issuer(issuer_settings), "127.0.0.1", 0, drain_seconds=1):
                await exchange
                async with asyncio.timeout(10):
                    while not await provider.all_keys(person.user_id):
                        await asyncio.sleep(0.05)
                line.mend()
                answer = await eventually_exchanged(provider, client, code)
                assert answer.status_code == 200, answer.text
                rows = await provider.sql(
                    "SELECT key_id, status FROM keys.api_keys WHERE user_id = $1", person.user_id
                )
                live = [row["key_id"] for row in rows if row["status"] == "active"]
                assert live == [answer.json()["keyID"]]
                assert len(rows) == 2


@pytest.mark.spec("RFC 7009", "2.2.1", "503 with Retry-After while the key cannot be revoked")
@pytest.mark.spec("RFC 6749", "5.2", "An outage is 503 with Retry-After, and the code stays good")
@pytest.mark.parametrize("way", ["cut", "stall"])
async def test_redis_away_is_503_on_every_oauth_endpoint(servers: Servers, way: str) -> None:
    """In time, with Retry-After, and everything works again without a hand."""
    async with fresh_stores(servers) as stores, Severable(stores.redis_url).serving() as line:
        variables = {"REDIS_URL": line.url}
        async with serving_provider(stores, variables) as provider:
            person, client, code = await consented(provider)
            line.cut() if way == "cut" else line.stall()
            started = time.monotonic()
            answers = await asyncio.gather(
                provider.site.exchange(client, code),
                provider.site.http.post(
                    "/api/v1/oauth/revoke", data={"token": _some_key()}, auth=client.basic
                ),
                provider.site.http.post(
                    "/api/v1/oauth/par", data={"response_type": "code"}, auth=client.basic
                ),
                provider.site.http.post(
                    "/api/v1/oauth/device_authorization", data={"client_id": client.client_id}
                ),
                person.http.post("/api/v1/oauth/create-code", json={"clientID": client.client_id}),
                person.http.get(f"/api/v1/clients/{client.client_id}/attempts"),
            )
            assert time.monotonic() - started < LONGEST_SECONDS
            for answer in answers:
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) >= 1
            assert (
                await provider.site.http.get("/.well-known/oauth-authorization-server")
            ).status_code == 200
            line.mend()
            answer = await eventually_exchanged(provider, client, code)
            assert answer.status_code == 200, answer.text
            assert await provider.live_keys(person.user_id) == 1


async def test_redis_lost_between_redeem_and_reply_gives_the_code_back(servers: Servers) -> None:
    """The giving back goes on in the background until Redis answers again."""
    async with fresh_stores(servers) as stores, Severable(stores.redis_url).serving() as line:
        variables = {"THROTTLE": "off", "REDIS_URL": line.url}
        async with serving_provider(stores, variables, issuing=False) as provider:
            person, client, code = await consented(provider)
            exchange = asyncio.create_task(unavailable(provider, client, code))
            async with asyncio.timeout(10):
                while not await provider.resources.bus.redis.execute("XLEN", "lk:{key_issuer:0}:commands"):
                    await asyncio.sleep(0.01)
            line.cut()
            await exchange
            line.mend()
            async with serving(create_issuer(provider.resources.settings), "127.0.0.1", 0, drain_seconds=1):
                answer = await eventually_exchanged(provider, client, code)
                assert answer.status_code == 200, answer.text
                assert await provider.live_keys(person.user_id) == 1


async def test_another_replica_redeems_what_the_first_could_not_give_back(servers: Servers) -> None:
    """Cut off after it had spent the code, the first answered 503: that holds wherever the client tries again.

    The second waits for what the first gives back as soon as it can, and a release that comes twice changes nothing.
    """
    async with fresh_stores(servers) as stores, Severable(stores.redis_url).serving() as line:
        limits = {"THROTTLE": "off", "CODE_TTL_SECONDS": "600"}
        async with (
            serving_provider(stores, {**limits, "REDIS_URL": line.url}, issuing=False) as first,
            serving_provider(stores, limits, issuing=False) as second,
        ):
            person, client, code = await consented(first)
            exchange = asyncio.create_task(unavailable(first, client, code))
            async with asyncio.timeout(10):
                while not await second.resources.bus.redis.execute("XLEN", "lk:{key_issuer:0}:commands"):
                    await asyncio.sleep(0.01)
            line.cut()
            await exchange
            late = await _last_attempt(second, code)
            async with serving(create_issuer(second.resources.settings), "127.0.0.1", 0, drain_seconds=1):
                retry = asyncio.create_task(eventually_exchanged(second, client, code))
                line.mend()
                answer = await retry
                assert answer.status_code == 200, answer.text
                assert not await first.resources.codes.release(late)
                assert await first.live_keys(person.user_id) == 1
                replayed = await eventually_exchanged(first, client, code)
                assert replayed.json()["error"] == "invalid_grant"
                assert await first.live_keys(person.user_id) == 0


async def test_a_code_that_cannot_be_given_back_yet_is_not_taken_for_used(
    servers: Servers, tmp_path: Path
) -> None:
    """Redis refuses writes between redeem and release: whoever asks for the code hears 503, and then it is good."""
    valkey = Valkey(tmp_path)
    valkey.start()
    try:
        async with (
            fresh_stores(servers) as stores,
            serving_provider(stores, {"THROTTLE": "off", "REDIS_URL": valkey.url}, issuing=False) as provider,
        ):
            await _refusing(provider)
    finally:
        valkey.kill()


async def _refusing(provider: Provider) -> None:
    person, client, code = await consented(provider)
    resources, digest = provider.resources, digest_of(code)
    redis = resources.bus.redis
    exchange = asyncio.create_task(unavailable(provider, client, code))
    async with asyncio.timeout(10):
        while not await redis.execute("XLEN", "lk:{key_issuer:0}:commands"):
            await asyncio.sleep(0.01)
    await redis.execute("CONFIG", "SET", "min-replicas-to-write", "1")
    await exchange
    with pytest.raises(BusUnavailable):
        await resources.releaser.settled(digest, 0.1)
    with pytest.raises(StoreUnavailable):
        await resources.codes.is_given_back(digest)
    await unavailable(provider, client, code)
    await redis.execute("CONFIG", "SET", "min-replicas-to-write", "0")
    async with serving(create_issuer(resources.settings), "127.0.0.1", 0, drain_seconds=1):
        answer = await eventually_exchanged(provider, client, code)
        assert answer.status_code == 200, answer.text
        assert await provider.live_keys(person.user_id) == 1


async def _last_attempt(provider: Provider, code: str) -> RedeemAttempt:
    """The attempt that has spent a code."""
    digest = digest_of(code)
    message = await provider.resources.bus.redis.execute("HGET", code_key(digest), "message")
    return RedeemAttempt(digest, "k" * 16, message.decode(), 0)


async def test_postgres_away_is_503(servers: Servers) -> None:
    """A client that is in no cache cannot be authenticated: 503, never 401."""
    async with fresh_stores(servers) as stores, Severable(stores.database_url).serving() as line:
        variables = {"THROTTLE": "off", "AUTH_API_DATABASE_URL": line.url}
        async with serving_provider(stores, variables) as provider:
            person, client, code = await consented(provider)
            line.cut()
            provider.resources.clients.invalidate(client.client_id)
            await unavailable(provider, client, code)
            line.mend()
            answer = await eventually_exchanged(provider, client, code)
            assert answer.status_code == 200, answer.text
            assert await provider.live_keys(person.user_id) == 1


def _some_key() -> str:
    return mint_key("lk", USER_KEY, "https://x.example").token
