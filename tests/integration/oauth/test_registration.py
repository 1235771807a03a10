"""Registration by programs (RFC 7591): off by default, limited, and nobody vouches for what comes in."""

from __future__ import annotations

import pytest

from tests.harness.site import Client, Person
from tests.integration.oauth.conftest import Provider, ProviderStarter
from tests.integration.oauth.consenting import accept, shown

REGISTER = "/api/v1/oauth/register"
CALLBACK = "https://client.example/cb"


@pytest.mark.spec("RFC 7591", "3", "Registration is there only where the operator allows it")
async def test_registration_is_off_by_default(provider: Provider, author: Person) -> None:
    """The endpoint is not there, and not in the metadata."""
    answer = await provider.site.http.post(REGISTER, json={"redirect_uris": [CALLBACK]})
    assert answer.status_code == 404
    metadata = await provider.site.http.get("/.well-known/oauth-authorization-server")
    assert "registration_endpoint" not in metadata.json()


@pytest.mark.spec("RFC 7591", "3", "A program registers and uses its client")
async def test_a_registered_program_is_marked_and_works(start_provider: ProviderStarter) -> None:
    """The consent page is told that nobody vouches for it; the key is like any other."""
    async with start_provider(REGISTRATION="on", THROTTLE="off") as provider:
        metadata = (await provider.site.http.get("/.well-known/oauth-authorization-server")).json()
        assert metadata["registration_endpoint"].endswith(REGISTER)
        answer = await provider.site.http.post(
            REGISTER,
            json={"redirect_uris": [CALLBACK], "client_name": "A program", "scope": "customise_score"},
        )
        assert answer.status_code == 201, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        document = answer.json()
        client = Client({"clientID": document["client_id"], "clientSecret": document["client_secret"]})
        person = await provider.site.sign_up()
        consent = await shown(
            provider, person, "authorize", ("response_type", "code"), ("client_id", client.client_id)
        )
        assert consent.client.self_registered
        assert not consent.client.by_operator
        assert "itself" in consent.client.author_name
        arrival = await accept(provider, person, consent)
        key = await provider.site.exchange(client, arrival.code)
        assert key.status_code == 200
        rows = await provider.sql("SELECT secret_digest, author_id FROM auth.clients")
        assert [row["author_id"] for row in rows] == [None]
        assert str(client.secret) not in str(rows)
        for wrong in (
            {},
            {"redirect_uris": ["javascript:alert(1)"]},
            {"redirect_uris": [CALLBACK], "client_name": "x"},
        ):
            refused = await provider.site.http.post(REGISTER, json=wrong)
            assert refused.status_code == 400
            assert refused.json()["error"] in ("invalid_redirect_uri", "invalid_client_metadata")
        named = await provider.site.http.post(
            REGISTER, json={"redirect_uris": [CALLBACK], "client_name": "a\u202eb"}
        )
        assert "client_name" in named.json()["error_description"]


@pytest.mark.spec("RFC 7591", "5", "Registration is limited")
async def test_registrations_are_limited_by_peer(start_provider: ProviderStarter) -> None:
    """429 with Retry-After beyond; another peer is not kept out."""
    async with start_provider(REGISTRATION="on", TRUSTED_PROXIES="1") as provider:
        body = {"redirect_uris": [CALLBACK]}
        peer = {"X-Forwarded-For": "203.0.113.9"}
        statuses = [
            (await provider.site.http.post(REGISTER, json=body, headers=peer)).status_code for _ in range(22)
        ]
        assert statuses[:20] == [201] * 20
        assert statuses[-1] == 429
        other = {"X-Forwarded-For": "198.51.100.7"}
        assert (await provider.site.http.post(REGISTER, json=body, headers=other)).status_code == 201
