"""Abuse cases 1A: attacks on the redeeming of a code, by their numbers in the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import quote

import httpx
import pytest

from services.auth_api.oauth.pkce import challenge_of
from tests.harness.site import CALLBACK, Client, Person
from tests.integration.oauth.conftest import Provider, ProviderStarter, serving_provider

TOKEN = "/api/v1/oauth/token"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PKCE = {"codeChallenge": challenge_of(VERIFIER), "codeChallengeMethod": "S256"}


def refused(answer: httpx.Response, *codes: str, status: int = 400) -> None:
    """The answer is an OAuth error with one of the codes."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] in codes, answer.text
    assert set(answer.json()) >= {"error", "error_description"}
    assert answer.headers["Cache-Control"] == "no-store"


async def send(
    provider: Provider, client: Client, pairs: Iterable[tuple[str, str]], path: str = TOKEN
) -> httpx.Response:
    """A form exactly as given, duplicates included."""
    body = "&".join(f"{quote(name, safe='[]')}={quote(value)}" for name, value in pairs)
    return await raw(provider, client, body.encode(), path=path)


async def raw(
    provider: Provider,
    client: Client,
    body: bytes,
    *,
    media_type: str | None = "application/x-www-form-urlencoded",
    path: str = TOKEN,
) -> httpx.Response:
    """A body exactly as given."""
    headers = {} if media_type is None else {"Content-Type": media_type}
    return await provider.site.http.post(path, content=body, headers=headers, auth=client.basic)


@pytest.mark.spec("RFC 6749", "4.1.2", "A code used twice is refused, and what it gave is revoked")
async def test_ac_01_an_authenticated_replay_revokes_the_key(
    provider: Provider, author: Person, person: Person
) -> None:
    """Whoever holds the code a second time may have stolen it from whoever was first."""
    client = await author.create_client()
    code = await person.create_code(client)
    key = (await provider.site.exchange(client, code)).json()["access_token"]
    assert (await provider.issuer.verify(key)).status_code == 200
    refused(await provider.site.exchange(client, code), "invalid_grant")
    assert await provider.live_keys(person.user_id) == 0
    refused(await provider.site.exchange(client, code), "invalid_grant")
    assert await provider.all_keys(person.user_id) == 1


@pytest.mark.spec("RFC 6749", "10.5", "A replay that proves nothing revokes nothing")
async def test_ac_01_an_unauthenticated_replay_revokes_nothing(
    provider: Provider, author: Person, person: Person
) -> None:
    """Else anybody who saw the code could take the key away."""
    client, other = await author.create_client(), await author.create_client()
    code = await person.create_code(client, **PKCE)
    assert (await provider.site.exchange(client, code, code_verifier=VERIFIER)).status_code == 200
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    wrong = await provider.site.http.post(TOKEN, data=form, auth=(client.client_id, "wrong"))
    refused(wrong, "invalid_client", status=401)
    refused(await provider.site.exchange(other, code, code_verifier=VERIFIER), "invalid_grant")
    refused(await provider.site.exchange(client, code, code_verifier="B" * 43), "invalid_grant")
    refused(await provider.site.exchange(client, code), "invalid_grant")
    assert await provider.live_keys(person.user_id) == 1


async def test_ac_01_a_replay_is_recognised_after_redis_has_forgotten_the_code(
    provider: Provider, author: Person, person: Person
) -> None:
    """The code's digest in PostgreSQL remembers."""
    client, other = await author.create_client(), await author.create_client()
    code = await person.create_code(client)
    assert (await provider.site.exchange(client, code)).status_code == 200
    keys = await provider.resources.bus.redis.execute("KEYS", "lk:*:code:*")
    await provider.resources.bus.redis.execute("DEL", *keys)
    refused(await provider.site.exchange(other, code), "invalid_grant")
    assert await provider.live_keys(person.user_id) == 1
    refused(await provider.site.exchange(client, code), "invalid_grant")
    assert await provider.live_keys(person.user_id) == 0


@pytest.mark.spec("RFC 6749", "4.1.2", "Of many requests with one code at once, at most one succeeds")
async def test_ac_02_fifty_redeems_at_once_give_one_key(
    provider: Provider, author: Person, person: Person
) -> None:
    """Over two replicas: one 200, 49 refusals, no 5xx, one row, and it ends revoked since the losers are replays."""
    client = await author.create_client()
    url = provider.resources.settings.public_url
    variables = {"THROTTLE": "off", "PUBLIC_URL": url}
    async with serving_provider(provider.stores, variables) as replica:
        for _ in range(3):
            code = await person.create_code(client)
            before = await provider.all_keys(person.user_id)
            answers = await asyncio.gather(
                *(each.site.exchange(client, code) for each in (provider, replica) for _ in range(25))
            )
            statuses = sorted(answer.status_code for answer in answers)
            # A machine so busy that the issuer misses its deadline may say 503 besides, to the winner too.
            if 503 not in statuses:
                assert statuses == [200] + [400] * 49
                assert await provider.all_keys(person.user_id) == before + 1
            assert statuses.count(200) <= 1
            assert set(statuses) <= {200, 400, 503}
            assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {
                "invalid_grant"
            }
            refused(await provider.site.exchange(client, code), "invalid_grant")
            assert await provider.live_keys(person.user_id) == 0


@pytest.mark.spec("RFC 6749", "4.1.3", "A code is bound to its client")
async def test_ac_03_another_clients_code_is_useless(
    provider: Provider, author: Person, person: Person
) -> None:
    """And still good for its own client."""
    client, other = await author.create_client(), await author.create_client()
    code = await person.create_code(client)
    refused(await provider.site.exchange(other, code), "invalid_grant")
    assert await provider.all_keys(person.user_id) == 0
    assert "another client" in (await provider.causes(author, other))[0]
    assert (await provider.site.exchange(client, code)).status_code == 200


@pytest.mark.spec("RFC 6749", "4.1.3", "redirect_uri is repeated byte for byte")
async def test_ac_04_the_redirect_uri_of_the_request_must_be_repeated(
    provider: Provider, author: Person, person: Person
) -> None:
    """Absent, the other registered one, a slash, a letter's case, a query."""
    other = "https://epicgames.example.com/other"
    client = await author.create_client(redirectUris=[CALLBACK, other])
    code = await person.create_code(client, redirectUri=CALLBACK)
    refused(await provider.site.exchange(client, code), "invalid_grant")
    for wrong in (other, CALLBACK + "/", CALLBACK.upper()):
        refused(await provider.site.exchange(client, code, redirect_uri=wrong), "invalid_grant")
    assert (await provider.site.exchange(client, code, redirect_uri=CALLBACK)).status_code == 200
    unsent = await person.create_code(client)
    refused(await provider.site.exchange(client, unsent, redirect_uri=other), "invalid_grant")
    assert (await provider.site.exchange(client, unsent, redirect_uri=CALLBACK)).status_code == 200


@pytest.mark.spec("RFC 7636", "4.6", "A wrong verifier gives no key")
async def test_ac_05_wrong_verifiers_are_refused_and_capped(
    provider: Provider, author: Person, person: Person
) -> None:
    """After five wrong ones from the authenticated client the code is dead."""
    client = await author.create_client()
    code = await person.create_code(client, **PKCE)
    for malformed in ("A" * 42, "A" * 129, VERIFIER + "=", "é" * 43):
        refused(await provider.site.exchange(client, code, code_verifier=malformed), "invalid_request")
    for wrong in ("", "B" * 43, PKCE["codeChallenge"], VERIFIER[:-1] + "l", "C" * 128):
        refused(await provider.site.exchange(client, code, code_verifier=wrong), "invalid_grant")
    refused(await provider.site.exchange(client, code, code_verifier=VERIFIER), "invalid_grant")
    assert await provider.all_keys(person.user_id) == 0
    assert "dead" in (await provider.causes(author, client))[0]


async def test_ac_05_wrong_verifiers_hide_no_replay(
    provider: Provider, author: Person, person: Person
) -> None:
    """A code that is spent and dead for its many wrong verifiers still costs its key when it comes back."""
    client = await author.create_client()
    code = await person.create_code(client, **PKCE)
    key = (await provider.site.exchange(client, code, code_verifier=VERIFIER)).json()["access_token"]
    for _ in range(6):
        refused(await provider.site.exchange(client, code, code_verifier="B" * 43), "invalid_grant")
    assert (await provider.issuer.verify(key)).status_code == 200
    refused(await provider.site.exchange(client, code, code_verifier=VERIFIER), "invalid_grant")
    assert (await provider.issuer.verify(key)).status_code == 401


async def test_ac_05_a_thief_cannot_kill_the_code_of_a_public_client(
    provider: Provider, author: Person, person: Person
) -> None:
    """Wrong verifiers count by peer there: whoever saw the code, but not the verifier, harms nobody else."""
    client = await author.create_client(public=True)
    code = await person.create_code(client, **PKCE)
    for _ in range(6):
        refused(await provider.site.exchange(client, code, code_verifier="B" * 43), "invalid_grant")
    refused(await provider.site.exchange(client, code, code_verifier=VERIFIER), "invalid_grant")
    url = provider.resources.settings.public_url
    variables = {"THROTTLE": "off", "PUBLIC_URL": url, "TRUSTED_PROXIES": "1"}
    async with serving_provider(provider.stores, variables, issuing=False) as elsewhere:
        form = {"grant_type": "authorization_code", "client_id": client.client_id, "code": code}
        answer = await elsewhere.site.http.post(
            TOKEN, data={**form, "code_verifier": VERIFIER}, headers={"X-Forwarded-For": "198.51.100.7"}
        )
        assert answer.status_code == 200, answer.text


@pytest.mark.spec("RFC 9700", "4.8.2", "A verifier without a challenge is refused")
async def test_ac_06_a_stripped_challenge_is_noticed(
    provider: Provider, author: Person, person: Person
) -> None:
    """The client sends its verifier, the request had no challenge: somebody took it out."""
    client = await author.create_client()
    code = await person.create_code(client)
    refused(await provider.site.exchange(client, code, code_verifier=VERIFIER), "invalid_grant")
    assert "downgrade" in (await provider.causes(author, client))[0]


@pytest.mark.spec("RFC 6749", "10.5", "A code lives a minute and is good once")
@pytest.mark.spec("RFC 6749", "4.1.2", "A code expires shortly after it was issued")
async def test_ac_08_an_expired_code_is_refused(start_provider: ProviderStarter) -> None:
    """And its author is told that it was only late."""
    async with start_provider(CODE_TTL_SECONDS="1") as provider:
        author = await provider.site.sign_up()
        client = await author.create_client()
        code = await author.create_code(client)
        keys = await provider.resources.bus.redis.execute("KEYS", "lk:*:code:*")
        async with asyncio.timeout(10):
            while (await _now(provider)) < int(
                await provider.resources.bus.redis.execute("HGET", keys[0], "expires_on")
            ):
                await asyncio.sleep(0.05)
        refused(await provider.site.exchange(client, code), "invalid_grant")
        assert await provider.causes(author, client) != []
        assert "expired" in (await provider.causes(author, client))[0]
        assert await provider.all_keys(author.user_id) == 0


@pytest.mark.spec("RFC 6749", "5.2", "A code that is none is invalid_grant")
@pytest.mark.parametrize(
    "code", ["x", "x" * 60_000, "é", "*", "a:b", "a\r\nb", "'; DROP TABLE keys.api_keys", "{}", "\U0001d7d9"]
)
async def test_ac_08_odd_codes_are_invalid_grant(provider: Provider, author: Person, code: str) -> None:
    """Whatever their bytes are."""
    client = await author.create_client()
    refused(
        await send(provider, client, [("grant_type", "authorization_code"), ("code", code)]), "invalid_grant"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"grant_type=authorization_code&code=",
        b"grant_type=authorization_code",
        b"grant_type=authorization_code&code[]=x",
        b"grant_type=authorization_code&code=%00",
        b"grant_type=authorization_code&code=%ff",
        b"grant_type=authorization_code&code=%c0%af",
        b"grant_type=authorization_code&code=%ed%a0%80",
        b"grant_type=authorization_code&code=\xff",
    ],
)
async def test_ac_08_what_is_no_text_is_invalid_request(
    provider: Provider, author: Person, body: bytes
) -> None:
    """And the field is named."""
    client = await author.create_client()
    answer = await raw(provider, client, body)
    refused(answer, "invalid_request")
    assert "code" in answer.json()["error_description"]


async def test_ac_08_a_megabyte_is_413(provider: Provider, author: Person) -> None:
    """Before anything is looked at."""
    client = await author.create_client()
    answer = await raw(provider, client, b"grant_type=authorization_code&code=" + b"x" * 1_048_576)
    refused(answer, "invalid_request", status=413)


@pytest.mark.spec("RFC 6749", "3.2", "Repeated parameters are refused and spend nothing")
async def test_ac_09_repeated_parameters_spend_nothing(
    provider: Provider, author: Person, person: Person
) -> None:
    """Neither the first nor the last one counts."""
    client = await author.create_client()
    code = await person.create_code(client)
    form = [("grant_type", "authorization_code"), ("code", code)]
    for extra in (
        ("code", "b"),
        ("code", code),
        ("code", ""),
        ("grant_type", "authorization_code"),
    ):
        for pairs in ([*form, extra], [extra, *form]):
            answer = await send(provider, client, pairs)
            refused(answer, "invalid_request")
            assert extra[0] in answer.json()["error_description"]
    twice = [("client_id", client.client_id), ("client_id", client.client_id)]
    refused(await send(provider, client, [*form, *twice]), "invalid_request")
    twice = [("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.example/")]
    refused(await send(provider, client, [*form, *twice]), "invalid_request")
    assert (await send(provider, client, form)).status_code == 200


@pytest.mark.spec("RFC 6749", "3.2", "Parameters in the query string are refused")
@pytest.mark.parametrize(
    "name", ["code", "client_secret", "client_id", "grant_type", "redirect_uri", "code_verifier"]
)
async def test_ac_09_nothing_is_taken_from_the_query_string(
    provider: Provider, author: Person, person: Person, name: str
) -> None:
    """URLs end up in logs."""
    client = await author.create_client()
    code = await person.create_code(client)
    form = [("grant_type", "authorization_code"), ("code", code)]
    answer = await send(provider, client, form, path=f"{TOKEN}?{name}=x")
    refused(answer, "invalid_request")
    assert name in answer.json()["error_description"]
    assert (await send(provider, client, form, path=f"{TOKEN}?utm_source=x")).status_code == 200


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/x-www-form-urlencoded; charset=nope",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/jsonp",
    ],
)
async def test_ac_10_other_media_types_are_415(
    provider: Provider, author: Person, media_type: str | None
) -> None:
    """And the answer says what was sent, rather than that the code is missing."""
    client = await author.create_client()
    answer = await raw(provider, client, b"grant_type=authorization_code&code=x", media_type=media_type)
    refused(answer, "invalid_request", status=415)
    assert "Content-Type" in answer.json()["error_description"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"code": 1' + b"0" * 5_000 + b"}",
        b'{"code": "a", "code": "b"}',
        b'{"x": 1, "x": 2}',
        b'{"code": "\\u0000"}',
        b'{"code": "\\ud800"}',
        b'{"code": "\xff"}',
        b'{"code": NaN}',
        b"\xef\xbb\xbf{}",
    ],
)
async def test_ac_10_malformed_json_is_400(provider: Provider, author: Person, body: bytes) -> None:
    """In the envelope that a JSON client reads."""
    client = await author.create_client()
    answer = await raw(provider, client, body, media_type="application/json")
    refused(answer, "invalid_request")
    assert answer.json()["success"] is False
    assert answer.json()["description"] == answer.json()["error_description"]


@pytest.mark.parametrize("value", [1, True, ["x"], {"a": 1}, 1.5])
@pytest.mark.parametrize(
    "name", ["grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier"]
)
async def test_ac_10_json_fields_must_be_text(
    provider: Provider, author: Person, name: str, value: object
) -> None:
    """The wrong field is named."""
    client = await author.create_client()
    body = {"grant_type": "authorization_code", "code": "x", name: value}
    answer = await provider.site.http.post(TOKEN, json=body, auth=client.basic)
    refused(answer, "invalid_request")
    assert name in answer.json()["error_description"]


@pytest.mark.spec("RFC 6749", "3.2", "The token endpoint takes POST alone")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "path", [TOKEN, "/api/v1/oauth/revoke", "/api/v1/oauth/par", "/api/v1/oauth/create-code"]
)
async def test_ac_11_other_methods_are_405(provider: Provider, path: str, method: str) -> None:
    """With Allow, in the shape of the protocol's errors."""
    answer = await provider.site.http.request(method, path)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    if method != "HEAD":
        assert answer.json()["error"] == "invalid_request"
        assert answer.json()["error_description"]


@pytest.mark.spec("RFC 6749", "5.2", "grant_type is checked")
@pytest.mark.parametrize(
    ("grant_type", "error"),
    [
        (None, "invalid_request"),
        ("", "invalid_request"),
        ("password", "unsupported_grant_type"),
        ("client_credentials", "unsupported_grant_type"),
        ("refresh_token", "unsupported_grant_type"),
        ("authorization_code ", "unsupported_grant_type"),
    ],
)
async def test_ac_11_unknown_grants_are_named(
    provider: Provider, author: Person, grant_type: str | None, error: str
) -> None:
    """Missing is another error than unknown."""
    client = await author.create_client()
    pairs = [("code", "x")] if grant_type is None else [("code", "x"), ("grant_type", grant_type)]
    refused(await send(provider, client, pairs), error)


async def _now(provider: Provider) -> int:
    seconds, microseconds = await provider.resources.bus.redis.execute("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000
