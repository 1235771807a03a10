"""The device flow (RFC 8628): from a device without a browser to its key."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from services.auth_api.rate_limit import KEPT_PEER, Throttled
from services.consent_ui.authorization_query import without_secrets
from shared.bus import names
from shared.contracts.authorization import PrepareAuthorization
from tests.harness.site import Client, Person
from tests.integration.oauth.conftest import Provider, ProviderStarter
from tests.integration.oauth.consenting import decide, prepare, session_of, shown

START = "/api/v1/oauth/device_authorization"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


async def start(provider: Provider, client: Client, **form: str) -> dict[str, Any]:
    """The codes for a device."""
    answer = await provider.site.http.post(START, data={"client_id": client.client_id, **form})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def poll(provider: Provider, client: Client, device_code: str) -> httpx.Response:
    """One poll."""
    form = {"grant_type": GRANT, "device_code": device_code}
    if client.secret is None:
        form["client_id"] = client.client_id
    return await provider.site.token(client, **form)


async def ready_to_poll(provider: Provider) -> None:
    """Forgets when devices polled last, as after the interval."""
    redis = provider.resources.bus.redis
    for key in await redis.execute("KEYS", "lk:*:code:*"):
        await redis.execute("HDEL", key, "polled_on")


def error(answer: httpx.Response) -> str:
    """The error of a refused poll."""
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])


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
        answers: list[httpx.Response] = []
        while len(answers) < KEPT_PEER.burst + 100:
            answers += await asyncio.gather(*(start_from("203.0.113.9") for _ in range(50)))
        given = [answer for answer in answers if answer.status_code == 200]
        assert KEPT_PEER.burst <= len(given) < len(answers)
        (refused, *_) = [answer for answer in answers if answer.status_code != 200]
        assert (refused.status_code, refused.json()["error"]) == (429, "temporarily_unavailable")
        assert refused.headers["Retry-After"] == "1"
        assert (await start_from("198.51.100.7")).status_code == 200
        redis, limiter = provider.resources.bus.redis, provider.resources.limiter
        codes = await redis.execute("KEYS", "lk:*code*")
        assert len(codes) == 2 * (len(given) + 2), "a code and the way to it"
        assert max([await redis.execute("MEMORY", "USAGE", code) for code in codes]) < 4096

        peers = [f"peer {number}" for number in range(10)]
        used_up = await asyncio.gather(
            *(limiter.take_keeping("device", client.client_id, peer) for peer in peers * 330),
            return_exceptions=True,
        )
        assert any(isinstance(outcome, Throttled) for outcome in used_up)
        asked = await asyncio.gather(*(start_from("198.51.100.7") for _ in range(40)))
        assert 429 in {answer.status_code for answer in asked}
        assert (await start_from("198.51.100.7", other)).status_code == 200
        assert error(await poll(provider, client, waiting["device_code"])) == "authorization_pending"
