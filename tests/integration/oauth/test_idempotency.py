"""Idempotency-Key: a retry of the same request is answered as the first was; everything else is as strict as before."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.auth_api.token.idempotency import note_done, retry_key_of
from services.key_issuer.app import create_app as create_issuer
from shared.clock import SystemClock
from shared.web.server import serving
from tests.harness.site import Client, Person
from tests.harness.stores import Servers, fresh_stores
from tests.integration.oauth.conftest import Provider, serving_provider

TOKEN = "/api/v1/oauth/token"


async def exchange(
    provider: Provider, client: Client, code: str, key: str | None, **form: str
) -> httpx.Response:
    """A token request with the header."""
    headers = {} if key is None else {"Idempotency-Key": key}
    data = {"grant_type": "authorization_code", "code": code, **form}
    return await provider.site.http.post(TOKEN, data=data, auth=client.basic, headers=headers)


async def test_a_retry_gets_the_first_answer(provider: Provider, author: Person, person: Person) -> None:
    """Byte for byte, bare or quoted, by either way of authentication; one key, and it lives."""
    client = await author.create_client()
    code = await person.create_code(client)
    first = await exchange(provider, client, code, "retry-1")
    assert first.status_code == 200
    for key in ("retry-1", '"retry-1"'):
        again = await exchange(provider, client, code, key)
        assert (again.status_code, again.content) == (200, first.content)
    form = {"grant_type": "authorization_code", "code": code, "client_id": client.client_id}
    secret = {"client_secret": str(client.secret)}
    other_way = await provider.site.http.post(
        TOKEN, data={**form, **secret}, headers={"Idempotency-Key": "retry-1"}
    )
    assert other_way.content == first.content
    as_json = await provider.site.http.post(
        TOKEN, json={**form, **secret}, headers={"Idempotency-Key": "retry-1"}
    )
    assert as_json.json()["body"]["token"] == first.json()["access_token"]
    assert await provider.live_keys(person.user_id) == 1
    assert await provider.all_keys(person.user_id) == 1
    assert (await provider.issuer.verify(first.json()["access_token"])).status_code == 200


async def test_another_request_with_the_same_key_is_422(
    provider: Provider, author: Person, person: Person
) -> None:
    """Other fields or another code; neither spends nor revokes anything."""
    client = await author.create_client()
    code, second = await person.create_code(client), await person.create_code(client)
    assert (await exchange(provider, client, code, "k")).status_code == 200
    for changed in (
        await exchange(provider, client, code, "k", redirect_uri="https://epicgames.example.com/x"),
        await exchange(provider, client, code, "k", code_verifier="A" * 43),
        await exchange(provider, client, second, "k"),
    ):
        assert changed.status_code == 422
        assert changed.json()["error"] == "invalid_request"
        assert "Idempotency-Key" in changed.json()["error_description"]
    assert await provider.live_keys(person.user_id) == 1
    assert (await exchange(provider, client, second, "other")).status_code == 200


@pytest.mark.spec("RFC 6749", "4.1.2", "Only a retry that says so is answered again; any other is a replay")
async def test_without_the_header_a_replay_still_revokes(
    provider: Provider, author: Person, person: Person
) -> None:
    """Also with another header: only the same request counts as its retry."""
    client = await author.create_client()
    for header in (None, "another"):
        code = await person.create_code(client)
        assert (await exchange(provider, client, code, f"before-{header}")).status_code == 200
        replay = await exchange(provider, client, code, header)
        assert (replay.status_code, replay.json()["error"]) == (400, "invalid_grant")
        rows = await provider.sql(
            "SELECT status FROM keys.api_keys WHERE user_id = $1 ORDER BY number DESC LIMIT 1", person.user_id
        )
        assert rows[0]["status"] == "revoked"


async def test_two_clients_may_use_the_same_key(provider: Provider, author: Person, person: Person) -> None:
    """It belongs to the client that sent it."""
    client, other = await author.create_client(), await author.create_client()
    answers = [
        await exchange(provider, each, await person.create_code(each), "same") for each in (client, other)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["access_token"] != answers[1].json()["access_token"]


async def test_retries_at_once_are_answered_once_or_told_to_wait(
    provider: Provider, author: Person, person: Person
) -> None:
    """200 with the one key, or 409 while the first is running; never a second key, never a revoked one."""
    client = await author.create_client()
    code = await person.create_code(client)
    answers = await asyncio.gather(*(exchange(provider, client, code, "at-once") for _ in range(30)))
    good = {answer.json()["access_token"] for answer in answers if answer.status_code == 200}
    assert len(good) == 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    again = await exchange(provider, client, code, "at-once")
    assert again.json()["access_token"] in good
    assert await provider.live_keys(person.user_id) == 1


async def test_malformed_keys_are_refused_and_spend_nothing(
    provider: Provider, author: Person, person: Person
) -> None:
    """1 to 255 visible ASCII characters, once."""
    client = await author.create_client()
    code = await person.create_code(client)
    for wrong in ("", "a b", "x" * 256, '""', '"a'):
        answer = await exchange(provider, client, code, wrong)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), wrong
        assert "Idempotency-Key" in answer.json()["error_description"]
    assert (await exchange(provider, client, code, "x" * 255)).status_code == 200


async def test_after_a_503_the_same_key_goes_on(servers: Servers) -> None:
    """The first try came to nothing, so the retry is the first that counts; its late twin joins it."""
    async with fresh_stores(servers) as stores:
        variables = {"THROTTLE": "off"}
        async with serving_provider(stores, variables, issuing=False) as provider:
            person = await provider.site.sign_up()
            client = await person.create_client()
            code = await person.create_code(client)
            assert (await exchange(provider, client, code, "k")).status_code == 503
            async with serving(create_issuer(provider.resources.settings), "127.0.0.1", 0, drain_seconds=1):
                async with asyncio.timeout(15):
                    while (answer := await exchange(provider, client, code, "k")).status_code == 503:
                        await asyncio.sleep(0.1)
                assert answer.status_code == 200, answer.text
                again = await exchange(provider, client, code, "k")
                assert again.content == answer.content
                assert await provider.live_keys(person.user_id) == 1
                assert await provider.all_keys(person.user_id) == 1


async def test_a_retry_after_a_crash_gets_the_key(servers: Servers) -> None:
    """The process died between spending the code and answering: 409 until its deadline, then the answer.

    Its clock was a minute ahead of the one that is asked then, which changes nothing.
    """
    limits = {"THROTTLE": "off"}
    async with (
        fresh_stores(servers) as stores,
        serving_provider(stores, limits, issuing=False, clock=FastClock()) as first,
        serving_provider(stores, limits, issuing=False) as provider,
    ):
        person = await provider.site.sign_up()
        client = await person.create_client()
        code = await person.create_code(client)
        running = asyncio.create_task(exchange(first, client, code, "k"))
        async with asyncio.timeout(10):
            while not await provider.resources.bus.redis.execute("XLEN", "lk:{key_issuer:0}:commands"):
                await asyncio.sleep(0.01)
        conflict = await exchange(provider, client, code, "k")
        assert conflict.status_code == 409
        # What a dead process leaves behind: the code spent and the request remembered, nobody to release them.
        redis = provider.resources.bus.redis
        kept = {
            key: await redis.execute("DUMP", key)
            for pattern in ("lk:{key_issuer:0}:code:*", "lk:{key_issuer:0}:retry:*")
            for key in await redis.execute("KEYS", pattern)
        }
        assert len(kept) == 2
        assert (await running).status_code == 503
        for key, value in kept.items():
            await redis.execute("RESTORE", key, "60000", value, "REPLACE")
        stream = "lk:{key_issuer:0}:commands"
        for entry, fields in await redis.execute("XRANGE", stream, "-", "+"):
            if b"key.abandon" in fields:
                await redis.execute("XDEL", stream, entry)
        async with serving(create_issuer(provider.resources.settings), "127.0.0.1", 0, drain_seconds=1):
            async with asyncio.timeout(15):
                while (answer := await exchange(provider, client, code, "k")).status_code in (409, 503):
                    await asyncio.sleep(0.1)
            assert answer.status_code == 200, answer.text
            assert (await exchange(provider, client, code, "k")).content == answer.content
            assert await provider.live_keys(person.user_id) == 1


class FastClock(SystemClock):
    """A machine that is a minute ahead of all others."""

    def now(self) -> int:
        """Wall time in ms."""
        return super().now() + 60_000


async def test_a_note_that_comes_too_late_makes_nothing(provider: Provider) -> None:
    """What was to be remembered has expired: a trace without fingerprint would answer 409 for ever."""
    resources = provider.resources
    name = retry_key_of(resources.settings, "CXnobody", "late")
    await note_done(resources, name)
    assert await resources.bus.redis.execute("EXISTS", name) == 0
