"""Abuse cases 1B: attacks on client authentication, by their numbers in the catalogue."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import httpx
import pytest

from tests.harness.site import Client, Person
from tests.integration.oauth.conftest import Provider, ProviderStarter

TOKEN = "/api/v1/oauth/token"
PATHS = [TOKEN, "/api/v1/oauth/revoke", "/api/v1/oauth/par"]


async def with_header(
    provider: Provider, header: str | bytes, path: str = TOKEN, **form: str
) -> httpx.Response:
    """A request with an Authorization header exactly as given."""
    data = {"grant_type": "authorization_code", "code": "x", "token": "x", **form}
    return await provider.site.http.post(path, data=data, headers={b"Authorization": _bytes(header)})


def basic(pair: bytes, scheme: str = "Basic") -> str:
    """HTTP Basic around any bytes."""
    return f"{scheme} {b64encode(pair).decode()}"


def refused(answer: httpx.Response, error: str, status: int) -> None:
    """The answer is this OAuth error; a 401 carries a challenge."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.spec("RFC 6749", "2.3.1", "Basic credentials are form-decoded; the scheme ignores case")
async def test_ac_12_good_credentials_in_unusual_dress(
    provider: Provider, author: Person, person: Person
) -> None:
    """Escapes that need not be there are undone."""
    client = await author.create_client()
    assert client.secret is not None
    escaped = "".join(f"%{ord(letter):02x}" for letter in client.secret)
    for header in (
        basic(f"{client.client_id}:{escaped}".encode()),
        basic(f"{client.client_id}:{client.secret}".encode(), "bAsIc"),
    ):
        code = await person.create_code(client)
        assert (await with_header(provider, header, code=code)).status_code == 200


@pytest.mark.spec("RFC 6749", "5.2", "Malformed credentials are invalid_client, never a server error")
@pytest.mark.parametrize("header", ["Basic é".encode(), basic(b"foo with %:foo with $")])
@pytest.mark.parametrize("path", PATHS)
async def test_ac_12_malformed_headers_are_refused(
    provider: Provider, header: str | bytes, path: str
) -> None:
    """With a challenge that says how to do it right; the table of such headers is that of the unit test."""
    refused(await with_header(provider, header, path), "invalid_client", 401)


@pytest.mark.spec("RFC 6749", "2.3", "One client, one method")
async def test_ac_13_two_identities_are_refused(provider: Provider, author: Person, person: Person) -> None:
    """Never the first one wins, never the last; and the code is not spent."""
    client, other = await author.create_client(), await author.create_client()
    public = await author.create_client(public=True)
    code = await person.create_code(client)
    good = basic(":".join(client.basic).encode())
    both = await with_header(provider, good, code=code, client_secret=str(client.secret))
    refused(both, "invalid_request", 400)
    refused(await with_header(provider, good, code=code, client_id=other.client_id), "invalid_request", 400)
    for form in (
        {"client_id": client.client_id},
        {"client_id": client.client_id, "client_secret": ""},
        {"client_id": client.client_id, "client_secret": "wrong"},
        {"client_id": client.client_id, "client_secret": str(other.secret)},
        {"client_id": public.client_id, "client_secret": "anything"},
        {},
    ):
        data = {"grant_type": "authorization_code", "code": code, **form}
        refused(await provider.site.http.post(TOKEN, data=data), "invalid_client", 401)
    same = await with_header(provider, good, code=code, client_id=client.client_id)
    assert same.status_code == 200


@pytest.mark.spec("RFC 6749", "5.2", "Unknown client and wrong secret are told alike")
async def test_ac_14_unknown_and_wrong_are_the_same_answer(provider: Provider, author: Person) -> None:
    """Status, headers and body; also for a public client that shows a secret."""
    client = await author.create_client()
    public = await author.create_client(public=True)
    answers = [
        await with_header(provider, basic(f"{client_id}:{secret}".encode()))
        for client_id, secret in (
            (client.client_id, "wrong"),
            ("lkc_AAAAAAAAAAAAAAAA", "wrong"),
            ("no such client at all", "wrong"),
            ("x" * 10_000, "wrong"),
            (public.client_id, "wrong"),
            (client.client_id, "é𝄞" * 100),
            (client.client_id, ""),
        )
    ]
    for answer in answers:
        refused(answer, "invalid_client", 401)
        assert answer.content == answers[0].content
        assert answer.headers["WWW-Authenticate"] == answers[0].headers["WWW-Authenticate"]


async def test_ac_14_failures_are_limited_by_client_and_peer_together(
    start_provider: ProviderStarter,
) -> None:
    """429 with Retry-After for this peer, also with the right secret; another peer is not kept out."""
    async with start_provider(TRUSTED_PROXIES="1") as provider:
        author = await provider.site.sign_up()
        client, other = await author.create_client(), await author.create_client()
        attacker = {"X-Forwarded-For": "203.0.113.9"}
        statuses = [(await _guess(provider, client, "wrong", attacker)).status_code for _ in range(40)]
        assert statuses[:30] == [401] * 30
        assert statuses[-1] == 429
        limited = await _guess(provider, client, str(client.secret), attacker)
        assert limited.status_code == 429
        assert int(limited.headers["Retry-After"]) >= 1
        assert limited.json()["error"]
        assert (await _guess(provider, other, str(other.secret), attacker)).status_code == 400
        elsewhere = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
        assert (await _guess(provider, client, str(client.secret), elsewhere)).status_code == 400


@pytest.mark.spec("RFC 6749", "10.10", "Guessing codes is limited")
async def test_wrong_codes_are_limited_by_client_and_peer_together(start_provider: ProviderStarter) -> None:
    """Guessing codes is as limited as guessing secrets, and keeps no other peer out."""
    async with start_provider(TRUSTED_PROXIES="1") as provider:
        author = await provider.site.sign_up()
        client = await author.create_client()
        attacker = {"X-Forwarded-For": "203.0.113.9"}
        statuses = [
            (await _guess(provider, client, str(client.secret), attacker)).status_code for _ in range(40)
        ]
        assert statuses[:30] == [400] * 30
        assert statuses[-1] == 429
        code = await author.create_code(client)
        form = {"grant_type": "authorization_code", "code": code}
        elsewhere = {"X-Forwarded-For": "198.51.100.7"}
        answer = await provider.site.http.post(TOKEN, data=form, auth=client.basic, headers=elsewhere)
        assert answer.status_code == 200


async def test_ac_15_a_rotated_secret_works_only_in_its_overlap(
    provider: Provider, author: Person, person: Person
) -> None:
    """Reset at once: the old one is dead within a second; with an overlap both work."""
    client = await author.create_client()
    path = f"/api/v1/clients/{client.client_id}/reset-secret"
    new = Client((await author.http.post(path, json={"overlapSeconds": 60})).json())
    for current in (client, new):
        answer = await provider.site.exchange(current, await person.create_code(client))
        assert answer.status_code == 200
    newest = Client((await author.http.post(path, json={"overlapSeconds": 0})).json())
    async with asyncio.timeout(1.5):
        while (await provider.site.exchange(new, "x")).status_code != 401:
            await asyncio.sleep(0.05)
    assert (await provider.site.exchange(client, "x")).status_code == 401
    assert (await provider.site.exchange(newest, await person.create_code(client))).status_code == 200


async def test_ac_15_the_overlap_ends_by_itself(provider: Provider, author: Person) -> None:
    """Nobody has to come back for it: the old secret is refused once the announced second is over."""
    client = await author.create_client()
    path = f"/api/v1/clients/{client.client_id}/reset-secret"
    new = Client((await author.http.post(path, json={"overlapSeconds": 1})).json())
    async with asyncio.timeout(5):
        while (await provider.site.exchange(client, "x")).status_code != 401:
            await asyncio.sleep(0.05)
    assert (await provider.site.exchange(new, "x")).json()["error"] == "invalid_grant"


async def _guess(provider: Provider, client: Client, secret: str, headers: dict[str, str]) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": "wrong"}
    return await provider.site.http.post(TOKEN, data=form, auth=(client.client_id, secret), headers=headers)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
