"""The device flow (RFC 8628): from a device without a browser to its key."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.site import Person
from tests.integration.oauth.conftest import Provider, ProviderStarter
from tests.integration.oauth.consenting import decide, prepare, shown
from tests.integration.oauth.devices import GRANT, START, error, poll, ready_to_poll, start


@pytest.mark.spec("RFC 8628", "3.2", "verification_uri, verification_uri_complete, expires_in and interval")
@pytest.mark.spec("RFC 8628", "3.5", "pending, slow_down, then the key")
async def test_the_device_flow(provider: Provider, author: Person, person: Person) -> None:
    """The person types the code in any case, sees it again, accepts; the next poll gives the key."""
    client = await author.create_client(
        redirectUri=None, requestedPermissions=["customise_score", "submit_score"]
    )
    codes = await start(provider, client, scope="submit_score")
    assert codes["verification_uri"].endswith("/device")
    assert codes["verification_uri_complete"].endswith(f"/device?user_code={codes['user_code']}")
    assert (codes["expires_in"], codes["interval"]) == (600, 5)
    assert error(await poll(provider, client, codes["device_code"])) == "authorization_pending"
    assert error(await poll(provider, client, codes["device_code"])) == "slow_down"
    await ready_to_poll(provider)
    assert error(await poll(provider, client, codes["device_code"])) == "authorization_pending"
    typed = codes["user_code"].lower().replace("-", " ")
    consent = await shown(provider, person, "device", ("user_code", typed))
    assert consent.client.client_id == client.client_id
    assert consent.permissions == ("submit_score",)
    assert consent.redirect_uri is None
    assert error(await poll(provider, client, codes["device_code"])) == "slow_down"
    assert (await decide(provider, person, consent)).outcome == "approved"
    assert (await decide(provider, person, consent)).outcome == "approved"
    answer = await poll(provider, client, codes["device_code"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["userID"] == person.user_id
    assert answer.json()["scope"] == "submit_score"
    assert (await provider.issuer.verify(answer.json()["access_token"], "submit_score")).status_code == 200
    assert error(await poll(provider, client, codes["device_code"])) == "invalid_grant"
    assert await provider.live_keys(person.user_id) == 1


@pytest.mark.spec("RFC 8628", "3.5", "access_denied after the person declined")
async def test_declining_ends_the_devices_wait(provider: Provider, author: Person, person: Person) -> None:
    """And cannot be undone."""
    client = await author.create_client()
    codes = await start(provider, client)
    consent = await shown(provider, person, "device", ("user_code", codes["user_code"]))
    assert (await decide(provider, person, consent, decision="decline")).outcome == "declined"
    assert error(await poll(provider, client, codes["device_code"])) == "access_denied"
    assert (await decide(provider, person, consent)).outcome == "already_decided"
    assert error(await poll(provider, client, codes["device_code"])) == "access_denied"
    assert await provider.all_keys(person.user_id) == 0


@pytest.mark.spec("RFC 8628", "3.5", "expired_token once the device code is too old")
async def test_an_expired_device_code_is_named(provider: Provider, author: Person, person: Person) -> None:
    """Also where a person approves too late."""
    client = await author.create_client()
    codes = await start(provider, client)
    consent = await shown(provider, person, "device", ("user_code", codes["user_code"]))
    redis = provider.resources.bus.redis
    for key in await redis.execute("KEYS", "lk:*:code:*"):
        await redis.execute("HSET", key, "expires_on", "1")
    assert (await decide(provider, person, consent)).outcome == "refused"
    assert error(await poll(provider, client, codes["device_code"])) == "expired_token"
    gone = await prepare(provider, person, "device", ("user_code", codes["user_code"]))
    assert gone.outcome == "refused"


@pytest.mark.spec("RFC 8628", "3.5", "However many polls, one key")
async def test_ac_58_many_polls_after_the_approval_give_one_key(
    provider: Provider, author: Person, person: Person
) -> None:
    """Exactly one, and it lives: polls overlap by accident."""
    client = await author.create_client()
    codes = await start(provider, client)
    consent = await shown(provider, person, "device", ("user_code", codes["user_code"]))
    await decide(provider, person, consent)
    answers = await asyncio.gather(*(poll(provider, client, codes["device_code"]) for _ in range(50)))
    # On a machine so busy that the issuer misses its deadline, the winner is told to come again.
    while any(answer.status_code == 503 for answer in answers):
        answers = [
            await poll(provider, client, codes["device_code"]) if answer.status_code == 503 else answer
            for answer in answers
        ]
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 49
    assert {error(answer) for answer in answers if answer.status_code == 400} == {"invalid_grant"}
    assert await provider.live_keys(person.user_id) == 1


@pytest.mark.spec("RFC 8628", "3.4", "A device code is bound to its client")
async def test_ac_58_a_device_code_is_bound_to_its_client(
    provider: Provider, author: Person, person: Person
) -> None:
    """Another client's polls neither see it nor slow it down; the two kinds of code are not the same."""
    client, other = await author.create_client(), await author.create_client(public=True)
    codes = await start(provider, client)
    assert error(await poll(provider, other, codes["device_code"])) == "invalid_grant"
    assert error(await poll(provider, client, codes["device_code"])) == "authorization_pending"
    assert error(await provider.site.exchange(client, codes["device_code"])) == "invalid_grant"
    code = await person.create_code(client)
    assert error(await poll(provider, client, code)) == "invalid_grant"
    assert (await provider.site.exchange(client, code)).status_code == 200


@pytest.mark.spec("RFC 8628", "3.4", "A client with a secret authenticates when it polls")
async def test_a_confidential_client_must_authenticate_to_poll(provider: Provider, author: Person) -> None:
    """Its id alone sufficed to begin."""
    client = await author.create_client()
    codes = await start(provider, client)
    form = {"grant_type": GRANT, "device_code": codes["device_code"], "client_id": client.client_id}
    answer = await provider.site.http.post("/api/v1/oauth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    wrong = await provider.site.http.post(
        START, data={"client_id": client.client_id, "client_secret": "wrong"}
    )
    assert wrong.status_code == 401


@pytest.mark.spec(
    "RFC 8628", "3.1", "A wrong device authorization request is refused as RFC 6749 tells errors"
)
@pytest.mark.parametrize(
    ("form", "status", "error_code"),
    [
        ({}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"scope": "nonsense"}, 400, "invalid_scope"),
        ({"scope": "a\tb"}, 400, "invalid_scope"),
    ],
)
async def test_a_wrong_device_request_is_refused(
    provider: Provider, author: Person, form: dict[str, str], status: int, error_code: str
) -> None:
    """As JSON, at once."""
    client = await author.create_client()
    if "scope" in form:
        form = {"client_id": client.client_id, **form}
    answer = await provider.site.http.post(START, data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error_code)


@pytest.mark.spec("RFC 8628", "5.4", "Only the person who typed the code can let the device in")
async def test_ac_57_a_request_is_bound_to_the_person_who_typed_the_code(
    provider: Provider, author: Person, person: Person
) -> None:
    """Another person cannot press the button of somebody else's page."""
    client = await author.create_client()
    codes = await start(provider, client)
    consent = await shown(provider, person, "device", ("user_code", codes["user_code"]))
    other = await provider.site.sign_up()
    assert (await decide(provider, other, consent)).outcome == "signed_out"
    assert error(await poll(provider, client, codes["device_code"])) == "authorization_pending"
    signed_out = await prepare(provider, None, "device", ("user_code", codes["user_code"]))
    assert signed_out.outcome == "sign_in"


async def test_ac_54_disconnecting_kills_a_pending_device(
    provider: Provider, author: Person, person: Person
) -> None:
    """Approved but not yet polled: dead."""
    client = await author.create_client()
    codes = await start(provider, client)
    consent = await shown(provider, person, "device", ("user_code", codes["user_code"]))
    assert (await decide(provider, person, consent)).outcome == "approved"
    assert (await person.http.delete(f"/api/v1/apps/{client.client_id}")).status_code == 204
    assert error(await poll(provider, client, codes["device_code"])) == "invalid_grant"
    assert await provider.live_keys(person.user_id) == 0


@pytest.mark.spec("RFC 8628", "6.1", "A user code may be typed in full width, as input methods give it")
async def test_a_user_code_typed_in_full_width_costs_no_try(
    provider: Provider, author: Person, person: Person
) -> None:
    """More often than one may guess: the device is found each time."""
    codes = await start(provider, await author.create_client())
    wide = codes["user_code"].translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})
    for _ in range(12):
        await shown(provider, person, "device", ("user_code", wide))


@pytest.mark.spec("RFC 8628", "5.1", "Guessing user codes is limited")
async def test_ac_56_guessing_user_codes_is_limited(start_provider: ProviderStarter) -> None:
    """By person and peer; own good codes in between do not buy more guesses; nobody else is kept out."""
    async with start_provider() as provider:
        guesser, other = await provider.site.sign_up(), await provider.site.sign_up()
        client = await guesser.create_client()
        statuses = []
        for number in range(14):
            codes = await start(provider, client)
            good = await prepare(provider, guesser, "device", ("user_code", codes["user_code"]))
            assert good.outcome == "consent" or number >= 10
            wrong = await prepare(provider, guesser, "device", ("user_code", "BBBB-BBBB"))
            assert wrong.refusal is not None
            statuses.append(wrong.refusal.status)
        assert statuses[:10] == [404] * 10
        assert statuses[-1] == 429
        codes = await start(provider, client)
        assert (
            await prepare(provider, other, "device", ("user_code", codes["user_code"]))
        ).outcome == "consent"


async def test_ac_56_a_code_dies_of_too_many_looks(
    provider: Provider, author: Person, person: Person
) -> None:
    """A person needs a few."""
    client = await author.create_client()
    codes = await start(provider, client)
    outcomes = [
        (await prepare(provider, person, "device", ("user_code", codes["user_code"]))).outcome
        for _ in range(31)
    ]
    assert outcomes == ["consent"] * 30 + ["refused"]


@pytest.mark.parametrize("typed", ["", "x", "&<>\"'", "\u202e", "x" * 10_000, "é", "BBBB-BBBB", "0000-0000"])
async def test_ac_58_odd_user_codes_are_an_error_page(provider: Provider, person: Person, typed: str) -> None:
    """Without repeating what was typed."""
    prepared = await prepare(provider, person, "device", ("user_code", typed))
    assert prepared.refusal is not None
    assert prepared.refusal.status == 404
    if len(typed) > 1:
        assert typed not in prepared.to_wire().decode()
