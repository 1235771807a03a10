"""Abuse cases 1D: the decision, bound to the person, the session and the page it was made on."""

from __future__ import annotations

import asyncio

import pytest

from services.auth_api.accounts.administration import disable_user, enable_user
from shared.secret_tokens import digest_of
from tests.harness.site import CALLBACK, PASSWORD, Client, Person
from tests.integration.oauth.conftest import Provider
from tests.integration.oauth.consenting import (
    accept,
    create_file_key,
    decide,
    decline,
    prepare,
    shown,
)


def link(client: Client, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The seed's link."""
    return [("clientID", client.client_id), *more]


async def grants(provider: Provider, person: Person) -> int:
    """How many standing grants a person has given."""
    return len(await provider.sql("SELECT 1 FROM auth.grants WHERE user_id = $1", person.user_id))


@pytest.mark.spec("RFC 6749", "4.1.1", "What is granted is what the person was asked")
async def test_ac_27_the_grant_follows_the_request_kept_on_the_server(
    provider: Provider, author: Person, person: Person
) -> None:
    """A page has nothing to tamper with but the request's id; a wrong one is an expired page."""
    client = await author.create_client()
    consent = await shown(provider, person, "request_auth", *link(client))
    for wrong in ("A" * 22, "", "x", consent.request_id + "x", "é" * 22, "../" + consent.request_id):
        tampered = consent.model_copy(update={"request_id": wrong})
        decided = await decide(provider, person, tampered, code_digest=digest_of("x"))
        assert decided.outcome == "refused"
        assert decided.refusal is not None
        assert decided.refusal.status == 400
    assert await grants(provider, person) == 0


async def test_ac_28_two_tabs_grant_what_each_showed(
    provider: Provider, author: Person, person: Person
) -> None:
    """Opened in one order, accepted in the other."""
    first = await author.create_client(name="First app")
    second = await author.create_client(name="Second app", requestedPermissions=["submit_score"])
    tabs = [
        (client, await shown(provider, person, "request_auth", *link(client))) for client in (first, second)
    ]
    for client, consent in reversed(tabs):
        arrival = await accept(provider, person, consent)
        document = (await provider.site.exchange(client, arrival.code)).json()
        assert document["identifier"] == consent.client.name
        assert document["scope"] == " ".join(consent.permissions)
    assert await grants(provider, person) == 2


@pytest.mark.spec("RFC 6749", "10.12", "A decision counts only for the person and session that were asked")
async def test_ac_29_a_request_is_bound_to_the_person_it_was_shown_to(
    provider: Provider, author: Person, person: Person
) -> None:
    """Neither another person nor another session of the same person can decide it."""
    client = await author.create_client()
    consent = await shown(provider, person, "request_auth", *link(client))
    other = await provider.site.sign_up()
    same = await provider.site.visitor()
    assert (await same.sign_in(person.username, PASSWORD)).status_code == 200
    for somebody in (other, same):
        decided = await decide(provider, somebody, consent, code_digest=digest_of("x"))
        assert decided.outcome == "signed_out"
    assert await grants(provider, person) == 0
    assert await grants(provider, other) == 0
    await person.http.delete("/api/v1/session")
    session_lost = await decide(provider, other, consent, code_digest=digest_of("x"))
    assert session_lost.outcome == "signed_out"


@pytest.mark.spec("RFC 6749", "4.1.2.1", "Declining is told to the client as access_denied, with its state")
async def test_ac_33_declining_tells_the_client(provider: Provider, author: Person, person: Person) -> None:
    """access_denied with state and issuer, however often; nothing was granted."""
    client = await author.create_client()
    consent = await shown(provider, person, "request_auth", *link(client, ("state", "s")))
    for _ in range(2):
        arrival = await decline(provider, person, consent)
        assert arrival.location.startswith(CALLBACK + "?error=access_denied&state=s&iss=")
        assert set(arrival.parameters) == {"error", "state", "iss"}
    late = await decide(provider, person, consent, code_digest=digest_of("x"))
    assert late.outcome == "already_decided"
    assert await grants(provider, person) == 0


async def test_ac_33_accepting_twice_gives_one_grant_and_one_good_code(
    provider: Provider, author: Person, person: Person
) -> None:
    """The browser follows the second redirect, so that is the code that counts."""
    client = await author.create_client()
    consent = await shown(provider, person, "request_auth", *link(client))
    first = await accept(provider, person, consent)
    second = await accept(provider, person, consent)
    assert await grants(provider, person) == 1
    assert (await provider.site.exchange(client, first.code)).json()["error"] == "invalid_grant"
    assert (await provider.site.exchange(client, second.code)).status_code == 200
    assert await provider.live_keys(person.user_id) == 1
    for decision in ("accept", "decline"):
        late = await decide(provider, person, consent, decision=decision, code_digest=digest_of("x"))
        assert late.outcome == "already_decided"
    assert await provider.live_keys(person.user_id) == 1


async def test_ac_33_accepting_many_times_at_once_leaves_one_good_code(
    provider: Provider, author: Person, person: Person
) -> None:
    """However the presses interleave."""
    client = await author.create_client()
    consent = await shown(provider, person, "request_auth", *link(client))
    codes = [f"code-{number}" for number in range(10)]
    decided = await asyncio.gather(
        *(decide(provider, person, consent, code_digest=digest_of(code)) for code in codes)
    )
    assert {each.outcome for each in decided} <= {"redirect", "already_decided"}
    answers = [await provider.site.exchange(client, code) for code in codes]
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    assert await grants(provider, person) == 1


async def test_accepting_after_disconnecting_gives_nothing(
    provider: Provider, author: Person, person: Person
) -> None:
    """Abuse case 54: a page that was open while the app was taken back is dead; a new one works."""
    client = await author.create_client()
    await person.give_key(client)
    consent = await shown(provider, person, "request_auth", *link(client))
    unredeemed = await accept(provider, person, await shown(provider, person, "request_auth", *link(client)))
    assert (await person.http.delete(f"/api/v1/apps/{client.client_id}")).status_code == 204
    decided = await decide(provider, person, consent, code_digest=digest_of("x"))
    assert decided.outcome == "refused"
    refused = await provider.site.exchange(client, unredeemed.code)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert "taken back" in (await provider.causes(author, client))[0]
    assert await provider.live_keys(person.user_id) == 0
    arrival = await accept(provider, person, await shown(provider, person, "request_auth", *link(client)))
    assert (await provider.site.exchange(client, arrival.code)).status_code == 200


@pytest.mark.spec("RFC 6749", "3.1.2.3", "A redirect URI is checked again when the person decides")
async def test_ac_55_what_was_removed_since_is_not_granted(
    provider: Provider, author: Person, person: Person
) -> None:
    """The redirect URI between page and press; the client between press and redeem."""
    other = "https://epicgames.example.com/other"
    client = await author.create_client(redirectUris=[CALLBACK, other])
    consent = await shown(
        provider,
        person,
        "authorize",
        ("response_type", "code"),
        ("client_id", client.client_id),
        ("redirect_uri", other),
    )
    path = f"/api/v1/clients/{client.client_id}"
    assert (await author.http.patch(path, json={"redirectUris": [CALLBACK]})).status_code == 200
    decided = await decide(provider, person, consent, code_digest=digest_of("x"))
    assert (decided.outcome, decided.redirect_uri) == ("refused", None)
    arrival = await accept(provider, person, await shown(provider, person, "request_auth", *link(client)))
    pending = await shown(provider, person, "request_auth", *link(client))
    assert (await author.http.delete(path)).status_code == 204
    assert (await provider.site.exchange(client, arrival.code)).status_code in (400, 401)
    assert (await decide(provider, person, pending, code_digest=digest_of("y"))).outcome == "refused"
    assert await provider.live_keys(person.user_id) == 0


async def test_an_accept_without_a_code_gives_nothing(
    provider: Provider, author: Person, person: Person
) -> None:
    """A page that forgot to mint one is told that its request is no good."""
    client = await author.create_client()
    consent = await shown(provider, person, "request_auth", *link(client))
    assert (await decide(provider, person, consent)).outcome == "refused"


async def test_the_file_flow_makes_one_key(provider: Provider, author: Person, person: Person) -> None:
    """Live at once, listed at once; a second press makes none."""
    client = await author.create_client(
        redirectUri=None, apiKeyFormat='{"key": "%%TACHI_KEY%%"}', apiKeyFilename="config.json"
    )
    consent = await shown(provider, person, "client_file_flow", ("client_id", client.client_id))
    decided, minted = await create_file_key(provider, person, consent)
    assert decided.outcome == "key_created"
    assert decided.key is not None
    assert decided.key.key_id == minted.key_id
    assert (decided.template, decided.filename) == ('{"key": "%%TACHI_KEY%%"}', "config.json")
    assert (await provider.issuer.verify(minted.token, "customise_score")).status_code == 200
    listed = (await person.http.get("/api/v1/keys")).json()
    assert [key["keyID"] for key in listed] == [minted.key_id]
    again, second = await create_file_key(provider, person, consent)
    assert again.outcome == "already_decided"
    assert (await provider.issuer.verify(second.token)).status_code == 401
    assert await provider.live_keys(person.user_id) == 1


async def test_ac_45_many_presses_at_once_make_one_file_key(
    provider: Provider, author: Person, person: Person
) -> None:
    """The others are told that it was made."""
    client = await author.create_client()
    consent = await shown(provider, person, "client_file_flow", ("client_id", client.client_id))
    decided = await asyncio.gather(*(create_file_key(provider, person, consent) for _ in range(10)))
    outcomes = sorted(each.outcome for each, _ in decided)
    assert outcomes == ["already_decided"] * 9 + ["key_created"]
    assert await provider.live_keys(person.user_id) == 1


async def test_declining_the_file_flow_makes_no_key(
    provider: Provider, author: Person, person: Person
) -> None:
    """There is nobody to redirect to."""
    client = await author.create_client()
    consent = await shown(provider, person, "client_file_flow", ("client_id", client.client_id))
    decided = await decide(provider, person, consent, decision="decline")
    assert decided.outcome == "declined"
    assert await provider.all_keys(person.user_id) == 0


@pytest.mark.spec("RFC 6749", "3.1", "Asking for authorization grants nothing by itself")
async def test_ac_26_preparing_grants_nothing(provider: Provider, author: Person, person: Person) -> None:
    """However often a page is loaded, or prefetched."""
    client = await author.create_client()
    for _ in range(3):
        prepared = await prepare(provider, person, "request_auth", *link(client))
        assert prepared.outcome == "consent"
    assert await grants(provider, person) == 0
    assert await provider.all_keys(person.user_id) == 0


async def test_ac_55_a_disabled_account_gives_nothing_any_more(
    provider: Provider, author: Person, person: Person
) -> None:
    """Neither its open page nor its unredeemed code; and enabling it does not bring them back."""
    client = await author.create_client()
    arrival = await accept(provider, person, await shown(provider, person, "request_auth", *link(client)))
    pending = await shown(provider, person, "request_auth", *link(client))
    key = await person.give_key(client)
    await disable_user(provider.resources, person.username)
    assert (await decide(provider, person, pending, code_digest=digest_of("x"))).outcome == "signed_out"
    refused = await provider.site.exchange(client, arrival.code)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert (await provider.issuer.verify(key["access_token"])).status_code == 401
    await enable_user(provider.resources, person.username)
    assert (await provider.site.exchange(client, arrival.code)).json()["error"] == "invalid_grant"
    assert (await person.sign_in(person.username)).status_code == 200
    assert (await decide(provider, person, pending, code_digest=digest_of("y"))).outcome == "signed_out"
    assert await provider.live_keys(person.user_id) == 0
    arrival = await accept(provider, person, await shown(provider, person, "request_auth", *link(client)))
    assert (await provider.site.exchange(client, arrival.code)).status_code == 200
