"""Pushed authorization requests (RFC 9126)."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.auth_api.oauth.pkce import challenge_of
from services.auth_api.rate_limit import KEPT_PEER
from tests.harness.site import CALLBACK, Client, Person
from tests.integration.oauth.conftest import Provider, ProviderStarter
from tests.integration.oauth.consenting import accept, parameters_of, prepare, shown

PAR = "/api/v1/oauth/par"
VERIFIER = "A" * 43


async def push(provider: Provider, client: Client, **form: str) -> httpx.Response:
    """A pushed request, the client authenticated as at the token endpoint."""
    auth = httpx.USE_CLIENT_DEFAULT if client.secret is None else client.basic
    identity = {"client_id": client.client_id} if client.secret is None else {}
    return await provider.site.http.post(PAR, data={"response_type": "code", **identity, **form}, auth=auth)


@pytest.mark.spec("RFC 9126", "4", "client_id and request_uri are all that the authorization request needs")
@pytest.mark.spec("RFC 9126", "2.2", "201 with request_uri and expires_in")
async def test_a_pushed_request_becomes_a_key(provider: Provider, author: Person, person: Person) -> None:
    """The browser brings client_id and request_uri, nothing else."""
    client = await author.create_client(requestedPermissions=["customise_score", "submit_score"])
    answer = await push(
        provider,
        client,
        redirect_uri=CALLBACK,
        scope="submit_score",
        state="s",
        context="c",
        code_challenge=challenge_of(VERIFIER),
        code_challenge_method="S256",
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json() == {"request_uri": answer.json()["request_uri"], "expires_in": 90}
    reference = answer.json()["request_uri"]
    assert reference.startswith("urn:ietf:params:oauth:request_uri:")
    pairs = [("client_id", client.client_id), ("request_uri", reference)]
    signed_out = await prepare(provider, None, "authorize", *pairs)
    assert signed_out.outcome == "sign_in"
    consent = await shown(provider, person, "authorize", *pairs)
    assert consent.permissions == ("submit_score",)
    arrival = await accept(provider, person, consent)
    assert (arrival.parameters["state"], arrival.parameters["context"]) == ("s", "c")
    key = await provider.site.exchange(client, arrival.code, redirect_uri=CALLBACK, code_verifier=VERIFIER)
    assert key.status_code == 200
    used_up = await prepare(provider, person, "authorize", *pairs)
    assert used_up.outcome == "refused"


@pytest.mark.spec("RFC 9126", "4", "Parameters beside request_uri count for nothing")
async def test_what_stands_beside_the_reference_is_ignored(
    provider: Provider, author: Person, person: Person
) -> None:
    """A changed scope or redirect URI in the browser changes nothing."""
    client = await author.create_client(requestedPermissions=["customise_score", "submit_score"])
    reference = (await push(provider, client, scope="submit_score")).json()["request_uri"]
    consent = await shown(
        provider,
        person,
        "authorize",
        ("client_id", client.client_id),
        ("request_uri", reference),
        ("scope", "customise_score"),
        ("redirect_uri", "https://evil.example/"),
        ("response_type", "token"),
    )
    assert consent.permissions == ("submit_score",)
    assert consent.redirect_uri == CALLBACK


@pytest.mark.spec("RFC 9126", "4", "Unknown, expired and foreign references are an error page")
@pytest.mark.spec("RFC 9126", "2.2", "A request_uri is bound to the client that pushed it")
async def test_unknown_and_foreign_references_are_an_error_page(
    provider: Provider, author: Person, person: Person
) -> None:
    """We fetch nothing from anywhere, and redirect nowhere."""
    client, other = await author.create_client(), await author.create_client()
    reference = (await push(provider, client)).json()["request_uri"]
    for client_id, given in (
        (other.client_id, reference),
        (client.client_id, reference + "x"),
        (client.client_id, reference[:-1] + "é"),
        (client.client_id, "https://evil.example/request"),
        (client.client_id, "urn:ietf:params:oauth:request_uri:" + "A" * 43),
    ):
        prepared = await prepare(
            provider, person, "authorize", ("client_id", client_id), ("request_uri", given)
        )
        assert (prepared.outcome, prepared.location) == ("refused", None)
    good = await prepare(
        provider, person, "authorize", ("client_id", client.client_id), ("request_uri", reference)
    )
    assert good.outcome == "consent"


@pytest.mark.spec("RFC 9126", "2.1", "request_uri is refused in a pushed request")
@pytest.mark.spec("RFC 9126", "2.3", "A pushed request is checked as the authorization endpoint would")
@pytest.mark.parametrize(
    ("form", "error", "named"),
    [
        ({"redirect_uri": "https://evil.example/"}, "invalid_request", "redirect_uri"),
        ({"scope": "nonsense"}, "invalid_scope", "scope"),
        ({"response_type": "token"}, "unsupported_response_type", "response_type"),
        ({"response_type": ""}, "invalid_request", "response_type"),
        ({"request_uri": "urn:x"}, "invalid_request", "request_uri"),
        ({"request": "eyJ"}, "request_not_supported", "request"),
        ({"code_challenge": "x", "code_challenge_method": "S256"}, "invalid_request", "code_challenge"),
        ({"response_mode": "fragment"}, "invalid_request", "response_mode"),
    ],
)
async def test_a_bad_request_is_refused_when_it_is_pushed(
    provider: Provider, author: Person, form: dict[str, str], error: str, named: str
) -> None:
    """The client hears of it at once, as JSON."""
    client = await author.create_client()
    answer = await push(provider, client, **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert named in answer.json()["error_description"]


@pytest.mark.spec("RFC 9126", "2", "The client authenticates as at the token endpoint")
async def test_only_the_client_itself_may_push(provider: Provider, author: Person) -> None:
    """A public one by its id, with PKCE."""
    client, public = await author.create_client(), await author.create_client(public=True)
    form = {"response_type": "code", "client_id": client.client_id}
    assert (await provider.site.http.post(PAR, data=form)).status_code == 401
    wrong = await provider.site.http.post(PAR, data=form, auth=(client.client_id, "wrong"))
    assert wrong.status_code == 401
    in_body = await provider.site.http.post(PAR, data={**form, "client_secret": str(client.secret)})
    assert in_body.status_code == 201
    assert (await push(provider, public)).json()["error"] == "invalid_request"
    pkce = {"code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256"}
    assert (await push(provider, public, **pkce)).status_code == 201


async def test_errors_after_the_push_still_redirect(
    provider: Provider, author: Person, person: Person
) -> None:
    """Nobody is shown a page that prompt=none forbids."""
    client = await author.create_client()
    reference = (await push(provider, client, prompt="none", state="s")).json()["request_uri"]
    prepared = await prepare(
        provider, person, "authorize", ("client_id", client.client_id), ("request_uri", reference)
    )
    parameters = parameters_of(str(prepared.location))
    assert (parameters["error"], parameters["state"]) == ("consent_required", "s")


async def test_no_secret_is_kept_with_a_pushed_request(provider: Provider, author: Person) -> None:
    """Neither the client's secret nor the reference lies in Redis."""
    client = await author.create_client()
    form = {"response_type": "code", "client_id": client.client_id, "client_secret": str(client.secret)}
    reference = (await provider.site.http.post(PAR, data=form)).json()["request_uri"]
    redis = provider.resources.bus.redis
    keys = await redis.execute("KEYS", "lk:pushed:*")
    kept = b"".join(keys) + b"".join([await redis.execute("HGET", key, "request") for key in keys])
    assert str(client.secret).encode() not in kept
    assert reference.rpartition(":")[2].encode() not in kept


@pytest.mark.spec("RFC 9126", "2.3", "A request that is too large to be kept is refused, and named")
async def test_a_large_request_is_not_kept(provider: Provider, author: Person) -> None:
    """4 KiB as they are kept, however few characters that are; the client's author reads it in the log."""
    client = await author.create_client(public=True)
    pkce = {"code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256"}
    before = await pushed(provider)
    for state in ("x" * 60_000, "x" * 4_000, "é" * 2_000):
        answer = await push(provider, client, **pkce, state=state)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert "larger than 4096 bytes; state is" in answer.json()["error_description"]
    assert await pushed(provider) == before
    await provider.resources.activity_log.flush()
    assert "larger than 4096" in (await provider.causes(author, client))[0]
    assert (await push(provider, client, **pkce, state="x" * 3_500)).status_code == 201


@pytest.mark.spec("RFC 9126", "2.3", "A client that pushes too often is told to wait (429)")
async def test_what_one_peer_pushes_is_limited(start_provider: ProviderStarter) -> None:
    """600 at once, whatever clients it names; nobody else notices."""
    async with start_provider(TRUSTED_PROXIES="1") as provider:
        author = await provider.site.sign_up()
        clients = [await author.create_client(public=True) for _ in range(2)]
        form = {
            "response_type": "code",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }

        async def push_from(peer: str, number: int) -> httpx.Response:
            identity = {"client_id": clients[number % 2].client_id}
            return await provider.site.http.post(PAR, data=form | identity, headers={"X-Forwarded-For": peer})

        # All but the last few are taken where pushing takes them.
        limiter, before = provider.resources.limiter, KEPT_PEER.burst - 20
        for number in range(before):
            await limiter.take_keeping("pushed", clients[number % 2].client_id, "203.0.113.9")
        answers = [await push_from("203.0.113.9", number) for number in range(20)]
        while answers[-1].status_code == 201:
            answers += await asyncio.gather(*(push_from("203.0.113.9", number) for number in range(20)))
        kept = [answer for answer in answers if answer.status_code == 201]
        assert KEPT_PEER.burst <= before + len(kept) < before + len(answers)
        (refused, *_) = [answer for answer in answers if answer.status_code != 201]
        assert (refused.status_code, refused.json()["error"]) == (429, "temporarily_unavailable")
        assert refused.headers["Retry-After"] == "1"
        assert await pushed(provider) == len(kept)
        assert (await push_from("198.51.100.7", 0)).status_code == 201


async def pushed(provider: Provider) -> int:
    """How many pushed requests are kept."""
    return len(await provider.resources.bus.redis.execute("KEYS", "lk:pushed:*"))
