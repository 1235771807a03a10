"""Device codes and user codes as they lie in Redis: none in clear, few from one peer, found by either secret."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.auth_api.rate_limit import KEPT_PEER, Throttled
from services.consent_ui.authorization_query import without_secrets
from shared.bus import names
from shared.contracts.authorization import PrepareAuthorization
from tests.harness.site import Client, Person
from tests.integration.oauth.conftest import Provider, ProviderStarter
from tests.integration.oauth.consenting import session_of
from tests.integration.oauth.devices import START, error, poll, start


async def test_the_page_of_the_previous_release_is_understood(
    provider: Provider, author: Person, person: Person
) -> None:
    """It sends what was typed, and is told how to show it; it may still run while auth_api is new."""
    codes = await start(provider, await author.create_client())
    command = PrepareAuthorization(
        surface="device",
        query=(("user_code", codes["user_code"].lower()),),
        session=session_of(person),
        peer="192.0.2.1",
        request_id="request-of-a-test",
    )
    bus = provider.pages
    prepared = bus.prepare(command)
    await bus.redis.execute("XADD", names.commands("auth_api"), "*", *prepared.fields)
    shown_by_it = (await prepared.reply()).consent
    assert shown_by_it is not None
    assert shown_by_it.user_code == codes["user_code"]


async def test_a_code_is_found_while_the_secret_of_the_site_is_exchanged(
    start_provider: ProviderStarter,
) -> None:
    """The page may know another secret first than the auth_api that gave the code."""
    old, new = "old-secret-0123456789-0123456789-abc", "new-secret-0123456789-0123456789-abc"
    async with start_provider(SECRET=f"{old},{new}") as provider:
        person = await provider.site.sign_up()
        codes = await start(provider, await person.create_client())
        secrets = [secret.encode() for secret in (new, old)]
        query = without_secrets(secrets, "device", [("user_code", codes["user_code"])])
        command = PrepareAuthorization(
            surface="device", query=query, session=session_of(person), peer="p", request_id="r"
        )
        assert (await provider.pages.request(command)).outcome == "consent"


@pytest.mark.spec("RFC 8628", "5.2", "Device codes are kept nowhere in clear")
async def test_no_user_code_or_device_code_lies_in_redis(provider: Provider, author: Person) -> None:
    """Only digests, and of the short one a keyed digest."""
    client = await author.create_client()
    codes = await start(provider, client)
    redis = provider.resources.bus.redis
    found = b""
    for key in await redis.execute("KEYS", "*"):
        kind = await redis.execute("TYPE", key)
        if kind in (b"string", b"hash"):
            value = await redis.execute(*(("GET", key) if kind == b"string" else ("HGETALL", key)))
            found += key + (value if kind == b"string" else b"".join(value))
    for secret in (codes["device_code"], codes["user_code"], codes["user_code"].replace("-", "")):
        assert secret.encode() not in found


@pytest.mark.spec("RFC 8628", "3.2", "Device codes are small and limited by peer and by client")
async def test_device_codes_are_limited_by_peer_and_client(start_provider: ProviderStarter) -> None:
    """Right requests too, since each is kept; neither another peer nor another client notices, nor who waits already."""
    async with start_provider(TRUSTED_PROXIES="1") as provider:
        author = await provider.site.sign_up()
        client, other = await author.create_client(), await author.create_client()

        async def start_from(peer: str, asking: Client = client) -> httpx.Response:
            form = {"client_id": asking.client_id}
            return await provider.site.http.post(START, data=form, headers={"X-Forwarded-For": peer})

        waiting = (await start_from("192.0.2.1")).json()
        redis, limiter = provider.resources.bus.redis, provider.resources.limiter
        before = KEPT_PEER.burst - 20  # taken where starting takes them
        for _ in range(before):
            await limiter.take_keeping("device", client.client_id, "203.0.113.9")
        answers = [await start_from("203.0.113.9") for _ in range(20)]
        while answers[-1].status_code == 200:
            answers += await asyncio.gather(*(start_from("203.0.113.9") for _ in range(20)))
        given = [answer for answer in answers if answer.status_code == 200]
        assert KEPT_PEER.burst <= before + len(given) < before + len(answers)
        (refused, *_) = [answer for answer in answers if answer.status_code != 200]
        assert (refused.status_code, refused.json()["error"]) == (429, "temporarily_unavailable")
        assert refused.headers["Retry-After"] == "1"
        assert (await start_from("198.51.100.7")).status_code == 200
        codes = await redis.execute("KEYS", "lk:*code*")
        assert len(codes) == 2 * (len(given) + 2), "a code and the way to it"
        assert max([await redis.execute("MEMORY", "USAGE", code) for code in codes]) < 4096

        async def use_up(times: int) -> set[bool]:
            """Takes for the client from ten other peers: whether it was throttled, and whether it was not."""
            outcomes = await asyncio.gather(
                *(
                    limiter.take_keeping("device", client.client_id, f"peer {number % 10}")
                    for number in range(times)
                ),
                return_exceptions=True,
            )
            return {isinstance(outcome, Throttled) for outcome in outcomes}

        assert await use_up(3_300) == {True, False}
        while (answer := await start_from("198.51.100.7")).status_code == 200:
            await use_up(20)  # on a slow machine more is paid off meanwhile
        assert answer.status_code == 429
        assert (await start_from("198.51.100.7", other)).status_code == 200
        assert error(await poll(provider, client, waiting["device_code"])) == "authorization_pending"
