"""Abuse cases 1C: the authorization request as it arrives over the bus, and where its answers go."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.pkce import challenge_of
from tests.harness.site import CALLBACK, Client, Person
from tests.integration.oauth.conftest import Provider
from tests.integration.oauth.consenting import accept, decline, parameters_of, prepare, shown
from tests.unit.oauth.test_redirect_uri import FOREIGN, REGISTERED

CHALLENGE = challenge_of("A" * 43)


def asking(client: Client, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """A plain standard request, and more."""
    return [("response_type", "code"), ("client_id", client.client_id), *more]


@pytest.mark.spec("RFC 6749", "4.1", "The code grant from request to key")
async def test_the_standard_flow(provider: Provider, author: Person, person: Person) -> None:
    """The page shows who asks for what; the code becomes a key."""
    client = await author.create_client(requestedPermissions=["customise_score", "submit_score"])
    consent = await shown(
        provider,
        person,
        "authorize",
        *asking(client, ("redirect_uri", CALLBACK), ("scope", "submit_score"), ("state", "xyz")),
    )
    assert consent.client.client_id == client.client_id
    assert consent.client.author_name == author.username
    assert consent.permissions == consent.new_permissions == ("submit_score",)
    assert (consent.user.user_id, consent.redirect_uri) == (person.user_id, CALLBACK)
    assert consent.first_time
    arrival = await accept(provider, person, consent)
    assert arrival.location.startswith(f"{CALLBACK}?code=")
    assert set(arrival.parameters) == {"code", "state", "iss"}
    answer = await provider.site.exchange(client, arrival.code, redirect_uri=CALLBACK)
    assert answer.status_code == 200
    again = await shown(provider, person, "authorize", *asking(client))
    assert not again.first_time
    assert again.new_permissions == ("customise_score",)


async def test_the_flow_of_the_seed(provider: Provider, author: Person, person: Person) -> None:
    """Its link, its `context`, its JSON, its `body.token`."""
    client = await author.create_client()
    consent = await shown(
        provider, person, "request_auth", ("clientID", client.client_id), ("context", "SOME_ID")
    )
    arrival = await accept(provider, person, consent)
    assert arrival.parameters["context"] == "SOME_ID"
    body = {
        "client_id": client.client_id,
        "client_secret": client.secret,
        "grant_type": "authorization_code",
        "redirect_uri": CALLBACK,
        "code": arrival.code,
    }
    answer = await provider.site.http.post("/api/v1/oauth/token", json=body)
    assert (await provider.issuer.verify(answer.json()["body"]["token"])).status_code == 200


@pytest.mark.spec(
    "RFC 6749", "3.1.2.4", "A mismatching redirect URI is told to the person and never redirected to"
)
@pytest.mark.spec("RFC 9700", "2.1", "A redirect URI that is not registered is never redirected to")
async def test_ac_16_a_foreign_redirect_uri_is_an_error_page(
    provider: Provider, author: Person, person: Person
) -> None:
    """Every vector of the catalogue, signed in and signed out."""
    client = await author.create_client(redirectUri=REGISTERED)
    for requested in filter(None, FOREIGN):
        for visitor in (person, None):
            prepared = await prepare(
                provider, visitor, "authorize", *asking(client, ("redirect_uri", requested))
            )
            assert (prepared.outcome, prepared.location) == ("refused", None), requested
            assert prepared.refusal is not None
            assert prepared.refusal.status == 400
    assert "redirect_uri" in (await provider.causes(author, client))[0]


@pytest.mark.spec("RFC 6749", "4.1.2.1", "Other errors do not redirect before the target is verified")
@pytest.mark.parametrize(
    "more",
    [
        [("response_type", "token")],
        [("code_challenge", "x"), ("code_challenge_method", "plain")],
        [("scope", "nonsense")],
        [("prompt", "none")],
        [("state", "a"), ("state", "b")],
        [("request", "x")],
        [],
    ],
)
async def test_ac_17_no_error_leads_to_a_foreign_address(
    provider: Provider, author: Person, person: Person, more: list[tuple[str, str]]
) -> None:
    """Whatever else is wrong with the request."""
    client = await author.create_client()
    evil = ("redirect_uri", "https://evil.example/")
    for identity in (client.client_id, "lkc_AAAAAAAAAAAAAAAA", "", "é" * 100, "x" * 5000):
        for visitor in (person, None):
            prepared = await prepare(provider, visitor, "authorize", ("client_id", identity), evil, *more)
            assert prepared.outcome == "refused", prepared
            assert "evil" not in prepared.to_wire().decode()
    for pairs in ([evil, ("redirect_uri", CALLBACK)], [("redirect_uri", CALLBACK), evil]):
        prepared = await prepare(provider, person, "authorize", *asking(client, *pairs, *more))
        assert prepared.outcome == "refused"


@pytest.mark.spec("RFC 6749", "4.1.2", "state comes back unchanged, the redirect URI byte for byte")
async def test_ac_20_the_location_is_exact(provider: Provider, author: Person, person: Person) -> None:
    """Nothing that was registered is normalised, and what was carried decodes to what was sent."""
    uri = "https://c.example/cb;p=1?a=%2F&b=1+2&c=%7e&e="
    client = await author.create_client(redirectUri=uri)
    for state in ("s t&u#v%20+é", "x" * 4096, "\r\nSet-Cookie: a=b", "'\"<script>", "𝄞\u2028"):
        consent = await shown(
            provider, person, "authorize", *asking(client, ("state", state), ("context", state))
        )
        for arrival in (
            await accept(provider, person, consent),
            await decline(
                provider,
                person,
                await shown(provider, person, "authorize", *asking(client, ("state", state))),
            ),
        ):
            assert arrival.location.startswith(uri + "&")
            assert arrival.location.isascii()
            assert arrival.location.isprintable()
            assert arrival.parameters["state"] == state


@pytest.mark.spec("RFC 6749", "4.1.2.1", "Errors of a verified request are told to the client")
@pytest.mark.parametrize(
    ("more", "error"),
    [
        ([("scope", "nonsense")], "invalid_scope"),
        ([("scope", "delete_score")], "invalid_scope"),
        ([("scope", "a\tb")], "invalid_scope"),
        ([("response_mode", "fragment")], "invalid_request"),
        ([("code_challenge", CHALLENGE)], "invalid_request"),
        ([("code_challenge", CHALLENGE), ("code_challenge_method", "plain")], "invalid_request"),
        ([("code_challenge", CHALLENGE), ("code_challenge_method", "s256")], "invalid_request"),
        ([("code_challenge", CHALLENGE), ("code_challenge_method", "S256\nx")], "invalid_request"),
        ([("code_challenge", CHALLENGE), ("code_challenge_method", "S256 ")], "invalid_request"),
        ([("scope", "submit_score"), ("scope", "submit_score")], "invalid_request"),
        ([("request", "x")], "request_not_supported"),
        ([("response_type", "code")], "invalid_request"),
    ],
)
async def test_ac_21_other_errors_go_to_the_client(
    provider: Provider, author: Person, person: Person, more: list[tuple[str, str]], error: str
) -> None:
    """With state and issuer, signed in or not; the author finds the cause."""
    client = await author.create_client()
    for visitor in (person, None):
        prepared = await prepare(provider, visitor, "authorize", *asking(client, ("state", "s t"), *more))
        assert prepared.outcome == "redirect"
        assert prepared.location is not None
        assert prepared.location.startswith(CALLBACK + "?error=")
        parameters = parameters_of(prepared.location)
        assert parameters["error"] == error
        assert parameters["state"] == "s t"
        assert parameters["iss"] == provider.resources.settings.public_url
    attempts = (await author.http.get(f"/api/v1/clients/{client.client_id}/attempts")).json()
    assert (attempts[0]["step"], attempts[0]["error"]) == ("authorize", error)


@pytest.mark.spec("RFC 6749", "3.1.1", "Another response_type is unsupported_response_type")
@pytest.mark.parametrize("response_type", ["token", "code token", "id_token", "Code"])
async def test_ac_21_other_response_types_are_refused_by_redirect(
    provider: Provider, author: Person, person: Person, response_type: str
) -> None:
    """RFC 6749 §4.1.2.1, unsupported_response_type; a missing one is invalid_request."""
    client = await author.create_client()
    prepared = await prepare(
        provider, person, "authorize", ("client_id", client.client_id), ("response_type", response_type)
    )
    assert parameters_of(str(prepared.location))["error"] == "unsupported_response_type"
    missing = await prepare(provider, person, "authorize", ("client_id", client.client_id))
    assert parameters_of(str(missing.location))["error"] == "invalid_request"


@pytest.mark.spec("RFC 8252", "6", "Native apps are held to PKCE")
@pytest.mark.spec("RFC 9700", "2.1.1", "A public client is held to PKCE from the start")
async def test_ac_06_a_public_client_without_a_challenge_is_refused(
    provider: Provider, author: Person, person: Person
) -> None:
    """On the seed's link too."""
    client = await author.create_client(public=True)
    for surface, pairs in (
        ("authorize", asking(client)),
        ("request_auth", [("clientID", client.client_id)]),
    ):
        prepared = await prepare(provider, person, surface, *pairs)  # type: ignore[arg-type]
        assert parameters_of(str(prepared.location))["error"] == "invalid_request"


@pytest.mark.spec("RFC 8252", "7.3", "A loopback client may use any port")
async def test_ac_24_a_loopback_client_is_sent_to_its_port(
    provider: Provider, author: Person, person: Person
) -> None:
    """And to nothing else that looks alike."""
    client = await author.create_client(redirectUri="http://127.0.0.1/cb")
    uri = "http://127.0.0.1:51004/cb"
    consent = await shown(provider, person, "authorize", *asking(client, ("redirect_uri", uri)))
    arrival = await accept(provider, person, consent)
    assert arrival.location.startswith(uri + "?code=")
    assert (await provider.site.exchange(client, arrival.code, redirect_uri=uri)).status_code == 200
    for wrong in ("http://localhost:51004/cb", "http://[::1]:51004/cb", "http://127.0.0.1.evil.com/cb"):
        refused = await prepare(provider, person, "authorize", *asking(client, ("redirect_uri", wrong)))
        assert refused.outcome == "refused"


async def test_a_visitor_signs_in_first_and_then_goes_on(
    provider: Provider, author: Person, person: Person
) -> None:
    """The address of the request stays with the page, and nothing is kept."""
    client = await author.create_client()
    prepared = await prepare(provider, None, "authorize", *asking(client))
    assert prepared.outcome == "sign_in"
    assert await provider.resources.bus.redis.execute("KEYS", "lk:continuation:*") == []


@pytest.mark.spec("RFC 8252", "8.6", "Nobody's consent is assumed: the page is always shown")
@pytest.mark.spec("OpenID Connect", "3.1.2.1", "prompt=none shows no page")
async def test_ac_30_prompt_none_is_never_answered_with_a_code(
    provider: Provider, author: Person, person: Person
) -> None:
    """Also for somebody who has consented before."""
    client = await author.create_client()
    await person.give_key(client)
    for visitor, error in ((None, "login_required"), (person, "consent_required")):
        prepared = await prepare(provider, visitor, "authorize", *asking(client, ("prompt", "none")))
        assert parameters_of(str(prepared.location))["error"] == error


async def test_an_unknown_client_is_an_error_page(provider: Provider, person: Person) -> None:
    """On every surface that names one."""
    for surface, name in (
        ("request_auth", "clientID"),
        ("authorize", "client_id"),
        ("client_file_flow", "client_id"),
    ):
        prepared = await prepare(provider, person, surface, (name, "nobody"))  # type: ignore[arg-type]
        assert prepared.refusal is not None
        assert prepared.refusal.status == 404


async def test_a_client_without_redirect_uris_cannot_be_asked_for_by_link(
    provider: Provider, author: Person, person: Person
) -> None:
    """It has the file and device flows only."""
    client = await author.create_client(redirectUri=None)
    prepared = await prepare(provider, person, "request_auth", ("clientID", client.client_id))
    assert prepared.refusal is not None
    assert "file and device" in prepared.refusal.reason
    consent = await shown(provider, person, "client_file_flow", ("client_id", client.client_id))
    assert consent.redirect_uri is None
