"""Signing in by an OpenID provider, and every answer of it that must not be believed (OpenID Connect Core §3.1.3.7)."""

from __future__ import annotations

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from joserfc import jwk, jwt

from deploy.demo_app.browser import parse
from services.auth_api.accounts.administration import disable_user
from shared.web.redirects import read_target
from tests.harness.openid import CLIENT_ID, CLIENT_SECRET
from tests.harness.stores import Servers
from tests.integration.auth_api.openid_desk import Desk, as_at_first, running_desk, who

LONG_AGO = 1_000_000_000
FAR_AHEAD = 4_000_000_000
CALLBACK = "/login/oidc/callback"


@pytest.fixture(scope="module")
async def running(servers: Servers) -> AsyncIterator[Desk]:
    """One provider and services for the tests of this module."""
    async with running_desk(servers) as desk:
        yield desk


@pytest.fixture
def desk(running: Desk) -> Desk:
    """The provider as it is at first."""
    return as_at_first(running)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_person_of_the_provider_comes_in(desk: Desk, algorithm: str) -> None:
    """To where they were going; the second time to the same account, named as the provider says."""
    desk.provider.algorithm = algorithm
    desk.provider.rotate()
    browser, again = await desk.browser(), await desk.browser()

    back = await desk.sign_in(browser, "/keys/abc?x=1")
    desk.provider.person["preferred_username"] = "renamed"
    await desk.sign_in(again)

    assert (back.status_code, back.headers["Location"]) == (303, "/keys/abc?x=1")
    user_id = await who(browser)
    assert user_id is not None
    assert await who(again) == user_id
    (row,) = await desk.registry.sql(
        "SELECT u.username, u.display_name, e.issuer FROM auth.users AS u JOIN auth.external_identities AS e USING (user_id)"
        " WHERE user_id = $1",
        user_id,
    )
    assert row["username"].startswith("zoe-")
    assert (row["display_name"], row["issuer"]) == ("Zoë", desk.provider.issuer)


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "somebody else"},
        {"aud": ["somebody else"]},
        {"aud": [CLIENT_ID, "somebody else"]},
        {"aud": [CLIENT_ID, "somebody else"], "azp": "somebody else"},
        {"azp": "somebody else"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": LONG_AGO},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": FAR_AHEAD},
        {"iat": None},
        {"nbf": FAR_AHEAD},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": 7},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_signs_nobody_in(desk: Desk, changed: dict[str, Any]) -> None:
    """403 with a way on, and no session."""
    desk.provider.claims = changed
    browser = await desk.browser()

    back = await desk.sign_in(browser)

    assert (back.status_code, "does not prove" in back.text) == (403, True)
    assert 'href="/login' in back.text
    assert await who(browser) is None


@pytest.mark.parametrize(
    "kind", ["none", "HS256 with the public key", "HS256 with the secret", "another key", "garbage"]
)
async def test_a_token_that_the_provider_has_not_signed_signs_nobody_in(desk: Desk, kind: str) -> None:
    """Whatever its header says (RFC 8725 §2.1)."""
    browser = await desk.browser()
    location = await desk.begin(browser)
    nonce = parse_qs(urlsplit(location).query)["nonce"][0]
    now = int(time.time())
    claims = {
        "iss": desk.provider.issuer,
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 300,
        "nonce": nonce,
        "sub": "x",
    }
    public = desk.provider.keys[0].as_pem(private=False)
    if kind == "none":
        header, body = (
            urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in ({"alg": "none"}, claims)
        )
        desk.provider.token = f"{header}.{body}."
    elif kind.startswith("HS256"):
        secret = public if "public" in kind else CLIENT_SECRET.encode()
        kid = desk.provider.keys[0].kid
        desk.provider.token = _signed_with_a_secret(claims, kid, secret)
    elif kind == "another key":
        other = jwk.generate_key("RSA", 2048, {"kid": desk.provider.keys[0].kid})
        desk.provider.token = jwt.encode({"alg": "RS256", "kid": other.kid}, claims, other)
    else:
        desk.provider.token = "a.b.c"

    back = await browser.http.get(desk.provider.approve(location))

    assert back.status_code == 403
    assert await who(browser) is None


def _signed_with_a_secret(claims: dict[str, Any], kid: str, secret: bytes) -> str:
    """By hand: no library would do it with a public key."""
    parts = [
        urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in ({"alg": "HS256", "kid": kid}, claims)
    ]
    signed = b".".join(parts)
    mac = urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + mac).decode()


async def test_a_clock_that_differs_a_little_is_no_fault(desk: Desk) -> None:
    """A minute either way."""
    now = int(time.time())
    desk.provider.claims = {"iat": now + 50, "nbf": now + 50, "exp": now - 50}
    browser = await desk.browser()

    assert (await desk.sign_in(browser)).status_code == 303


async def test_the_providers_new_key_is_known_at_once(desk: Desk) -> None:
    """Then not asked for again within five seconds, whatever tokens name."""
    assert (await desk.sign_in(await desk.browser())).status_code == 303
    desk.provider.rotate()

    rotated = await desk.sign_in(await desk.browser())
    desk.provider.asked.clear()
    desk.provider.token = desk.provider.sign({"iss": "x"}, kid="unknown")
    unknown = [(await desk.sign_in(await desk.browser())).status_code for _ in range(3)]

    assert rotated.status_code == 303
    assert unknown == [403] * 3
    assert "/keys" not in desk.provider.asked


async def test_a_token_without_a_key_id_needs_one_fitting_key(desk: Desk) -> None:
    """With two of the same kind nobody knows which is meant."""
    desk.provider.tells_key_id = False
    one = await desk.sign_in(await desk.browser())
    desk.provider.keys = [jwk.generate_key("RSA", 2048, {"kid": "second"}), *desk.provider.keys]
    oidc = desk.registry.resources.oidc
    assert oidc is not None
    oidc.forget()

    two = await desk.sign_in(await desk.browser())

    assert (one.status_code, two.status_code) == (303, 403)


async def test_names_that_are_missing_are_asked_for(desk: Desk) -> None:
    """At the UserInfo endpoint, which may tell of nobody else."""
    subject = desk.provider.person["sub"]
    desk.provider.person = {"sub": subject}
    desk.provider.userinfo = {"sub": subject, "preferred_username": f"yan-{subject}", "name": "Yan"}
    oidc = desk.registry.resources.oidc
    assert oidc is not None
    browser = await desk.browser()

    told = await desk.sign_in(browser)
    desk.provider.userinfo = {"sub": "somebody else", "name": "Eve"}
    other = await desk.sign_in(await desk.browser())

    assert (told.status_code, other.status_code) == (303, 403)
    assert (await browser.http.get("/api/v1/session")).json()["username"] == f"yan-{subject}"


@pytest.mark.parametrize("state", ["", "x", "0." + "0" * 64, "9" * 40 + "." + "0" * 64, "²." + "0" * 64])
async def test_a_state_that_is_not_of_this_browser_is_refused(desk: Desk, state: str) -> None:
    """400, and the code is not sent to the provider."""
    browser = await desk.browser()

    back = await desk.sign_in(browser, state=state)

    assert back.status_code == 400
    assert "/token" not in desk.provider.asked
    assert await who(browser) is None


async def test_a_strangers_answer_signs_no_victim_in(desk: Desk) -> None:
    """The attacker's own callback opened in a victim's browser leads nowhere (login CSRF)."""
    attacker, victim = await desk.browser(), await desk.browser()
    await desk.begin(victim)
    address = desk.provider.approve(await desk.begin(attacker))

    back = await victim.http.get(address)

    assert back.status_code == 400
    assert await who(victim) is None


async def test_back_and_reload_go_on_and_send_no_code_twice(desk: Desk) -> None:
    """For the person who is signed in; somebody who signed out is told."""
    browser = await desk.browser()
    address = desk.provider.approve(await desk.begin(browser, "/going"))
    await browser.http.get(address)
    desk.provider.asked.clear()

    again = await browser.http.get(address)
    await browser.http.delete("/api/v1/session")
    out = await browser.http.get(address)

    assert (again.status_code, again.headers["Location"]) == (303, "/going")
    assert out.status_code == 400
    assert "/token" not in desk.provider.asked


async def test_two_tabs_that_begin_at_once_both_arrive(desk: Desk) -> None:
    """Each where it was going, in the other order."""
    browser = await desk.browser()
    one, two = await desk.begin(browser, "/one"), await desk.begin(browser, "/two")

    second = await browser.http.get(desk.provider.approve(two))
    first = await browser.http.get(desk.provider.approve(one))

    assert [first.headers["Location"], second.headers["Location"]] == ["/one", "/two"]


async def test_an_answer_of_another_issuer_is_refused(desk: Desk) -> None:
    """Wrong, or missing where the provider promises it (RFC 9207 §2.4)."""
    browser = await desk.browser()
    wrong = await browser.http.get(
        desk.provider.approve(await desk.begin(browser)) + "&iss=https://evil.example"
    )
    right = await browser.http.get(
        desk.provider.approve(await desk.begin(browser)) + f"&iss={desk.provider.issuer}"
    )
    desk.provider.metadata = {"authorization_response_iss_parameter_supported": True}
    oidc = desk.registry.resources.oidc
    assert oidc is not None
    oidc.forget()
    missing = await desk.sign_in(browser)

    assert (wrong.status_code, right.status_code, missing.status_code) == (400, 303, 400)


async def test_the_providers_refusal_is_told_to_the_app_that_waits(desk: Desk) -> None:
    """As ``access_denied``; without an app the person reads its words."""
    author = await desk.browser()
    await desk.sign_in(author)
    client = await author.create_client(redirectUri="https://app.example/callback")
    browser = await desk.browser()
    target = f"/oauth/authorize?response_type=code&client_id={client.client_id}&state=S"
    told_state = parse_qs(urlsplit(await desk.begin(browser, target)).query)["state"][0]
    read_state = parse_qs(urlsplit(await desk.begin(browser)).query)["state"][0]

    told = await browser.http.get(f"{CALLBACK}?error=access_denied&state={told_state}")
    read = await browser.http.get(
        f"{CALLBACK}?error=access_denied&error_description=No%20<b>&state={read_state}"
    )

    query = parse_qs(urlsplit(told.headers["Location"]).query)
    assert (query["error"], query["state"]) == (["access_denied"], ["S"])
    assert (read.status_code, "No &lt;b&gt;" in read.text) == (403, True)


@pytest.mark.parametrize(
    ("path", "status"), [("/.well-known/openid-configuration", 500), ("/token", 503), ("/keys", 502)]
)
async def test_a_provider_in_trouble_stops_signing_in_and_nothing_else(
    desk: Desk, path: str, status: int
) -> None:
    """503 with ``Retry-After`` and a way on; who is signed in stays so, and nothing of the failure is kept."""
    person, browser = await desk.browser(), await desk.browser()
    await desk.sign_in(person)
    oidc = desk.registry.resources.oidc
    assert oidc is not None
    oidc.forget()
    desk.provider.broken = {path: status}

    begun = await browser.http.get("/login/oidc")
    back = (
        begun
        if begun.status_code != 303
        else await browser.http.get(desk.provider.approve(begun.headers["Location"]))
    )
    ready = await desk.registry.site.http.get("/readyz")

    assert back.status_code == 503
    assert int(back.headers["Retry-After"]) > 0
    assert 'href="/login' in back.text
    assert ready.status_code == 200
    assert await who(person) is not None
    desk.provider.broken = {}
    assert (await desk.sign_in(browser)).status_code == 303


@pytest.mark.parametrize("trouble", ["refused", "code", "token endpoint", "keys", "no"])
async def test_a_sign_in_that_failed_leads_back_to_what_was_wanted(desk: Desk, trouble: str) -> None:
    """The page's link begins anew, and then goes on where the person was going the first time."""
    browser, changed = await desk.browser(), {}
    location = await desk.begin(browser, "/keys/abc?x=1")
    if trouble == "refused":
        desk.provider.claims = {"nonce": "another"}
    elif trouble == "code":
        changed = {"code": "unknown"}
    elif trouble != "no":
        desk.provider.broken = {"/keys" if trouble == "keys" else "/token": 502}
    address = desk.provider.approve(location, **changed)
    if trouble == "no":
        state = parse_qs(urlsplit(location).query)["state"][0]
        address = f"{CALLBACK}?error=access_denied&state={state}"

    failed = await browser.http.get(address)

    assert failed.status_code in (403, 503), failed.text
    link = parse(str(failed.url), failed.status_code, failed.text, "").link("/login")
    signed = parse_qs(urlsplit(link).query)["continue"][0]
    assert read_target(desk.registry.resources.settings.secrets, signed) == "/keys/abc?x=1"


async def test_another_issuer_behind_the_address_is_not_believed(desk: Desk) -> None:
    """The document must name the issuer that is configured (OpenID Connect Discovery §4.3)."""
    desk.provider.metadata = {"issuer": "https://evil.example"}

    assert (await desk.registry.site.http.get("/login/oidc")).status_code == 503


async def test_a_disabled_person_is_not_signed_in(desk: Desk) -> None:
    """403 in plain words."""
    browser = await desk.browser()
    await desk.sign_in(browser)
    await disable_user(
        desk.registry.resources, (await browser.http.get("/api/v1/session")).json()["username"]
    )

    back = await desk.sign_in(browser)

    assert (back.status_code, "closed" in back.text) == (403, True)


async def test_sign_ins_under_way_share_one_small_cookie(desk: Desk) -> None:
    """However many were begun, by whatever way: browsers and proxies carry 4 KB."""
    browser = await desk.browser()
    for _ in range(4):
        await desk.begin(browser, "/oauth/authorize?state=" + secrets.token_hex(500))

    under_way = [each for each in browser.http.cookies.jar if each.name.startswith("latchkey_")]

    assert [each.name for each in under_way] == ["latchkey_login"]
    assert len(under_way[0].value or "") < 3_800
