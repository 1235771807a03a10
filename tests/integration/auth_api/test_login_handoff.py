"""Login handoff: the site's own login says who somebody is, and only the browser that began comes back signed in."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from services.auth_api.accounts.administration import disable_user
from shared.web.redirects import sign_target
from tests.harness.processes import command
from tests.harness.site import Client, Person, bearer
from tests.harness.stores import Servers
from tests.integration.auth_api.conftest import Registry, running_registry

LOGIN = "https://site.example/login?theme=dark"
REQUESTS = "/api/v1/login-requests/"


def service_key(registry: Registry, permission: str) -> str:
    """A key for the site's server, made as its operator makes it."""
    made = command(
        "service-key",
        "create",
        "--name",
        "site",
        "--permission",
        permission,
        environ=registry.stores.environment(),
    )
    return made.strip()


class Desk:
    """The site's own login, and browsers that go there."""

    def __init__(self, registry: Registry, key: str) -> None:
        """``key`` is the service key of the site's server."""
        self.registry = registry
        self.key = key

    async def browser(self) -> Person:
        """Somebody who is not signed in."""
        return await self.registry.site.visitor()

    async def begin(self, browser: Person, target: str = "/") -> str:
        """The browser goes to the site's login: the challenge that it carries there."""
        signed = sign_target(self.registry.resources.settings.secrets, target)
        answer = await browser.http.get("/login/site", params={"continue": signed})
        assert answer.status_code == 303, answer.text
        location = urlsplit(answer.headers["Location"])
        assert f"{location.scheme}://{location.netloc}{location.path}" == "https://site.example/login"
        query = parse_qs(location.query)
        assert query["theme"] == ["dark"]
        return query["login_challenge"][0]

    async def say(self, challenge: str, key: str | None = None, **said: Any) -> httpx.Response:
        """The site's server says who it was."""
        headers = bearer(self.key if key is None else key)
        return await self.registry.site.http.put(REQUESTS + challenge, json=said, headers=headers)

    async def ask(self, challenge: str) -> httpx.Response:
        """The site's server asks what a challenge is about."""
        return await self.registry.site.http.get(REQUESTS + challenge, headers=bearer(self.key))

    async def sign_in(self, browser: Person, target: str = "/", **said: Any) -> httpx.Response:
        """The whole way: there, answered, and back."""
        said = said or {"externalID": secrets.token_hex(8)}
        answer = await self.say(await self.begin(browser, target), **said)
        return await browser.http.get(answer.json()["redirectTo"])


@pytest.fixture(scope="module")
async def desk(servers: Servers) -> AsyncIterator[Desk]:
    """Services of a site with its own login, and that site's server."""
    async with running_registry(servers, LOGIN_URL=LOGIN, THROTTLE="off") as registry:
        yield Desk(registry, service_key(registry, "sign-in"))


async def who(browser: Person) -> int | None:
    """The account that is signed in here."""
    answer = await browser.http.get("/api/v1/session")
    return answer.json()["userID"] if answer.status_code == 200 else None


async def test_the_browser_that_began_comes_back_signed_in(desk: Desk) -> None:
    """To where it was going, with a session of the account that has this id."""
    browser = await desk.browser()

    back = await desk.sign_in(browser, "/keys/abc?x=1", externalID="u-1", username="zoe", displayName="Zoë")

    assert (back.status_code, back.headers["Location"]) == (303, "/keys/abc?x=1")
    user_id = await who(browser)
    assert user_id is not None
    other = await desk.browser()
    await desk.sign_in(other, externalID="u-1")
    assert await who(other) == user_id
    lines = await desk.registry.sql(
        "SELECT times FROM auth.audit WHERE action = 'session.started' AND subject = $1", f"user:{user_id}"
    )
    assert sum(line["times"] for line in lines) == 2
    third = await desk.browser()
    await desk.sign_in(third, externalID="u-2", username="zoe")
    assert await who(third) not in (None, user_id)


async def test_the_sites_server_learns_which_app_waits(desk: Desk) -> None:
    """By its name; nothing of the request's other values."""
    author = await desk.browser()
    await desk.sign_in(author)
    client = await author.create_client(name="Score Bot")
    browser = await desk.browser()

    plain = await desk.ask(await desk.begin(browser))
    waiting = await desk.ask(
        await desk.begin(browser, f"/oauth/authorize?client_id={client.client_id}&state=SECRET")
    )

    assert set(plain.json()) == {"challenge", "expiresOn"}
    assert waiting.json()["client"] == {"clientID": client.client_id, "name": "Score Bot"}
    assert "SECRET" not in waiting.text


async def test_a_challenge_is_answered_once(desk: Desk) -> None:
    """The same body again gets the same address, another one 409; after the arrival it is unknown to all."""
    browser = await desk.browser()
    challenge = await desk.begin(browser)

    first = await desk.say(challenge, externalID="once", username="a")
    same = await desk.say(challenge, username="a", externalID="once")
    other = await desk.say(challenge, externalID="other")
    asked = await desk.ask(challenge)
    await browser.http.get(first.json()["redirectTo"])
    late = await desk.say(challenge, externalID="once", username="a")

    assert first.status_code == same.status_code == asked.status_code == 200
    assert first.json() == same.json()
    assert first.json()["redirectTo"].startswith(desk.registry.resources.settings.public_url + "/")
    assert (other.status_code, late.status_code) == (409, 404)
    assert (await desk.ask(challenge)).status_code == 404


@pytest.mark.parametrize("change", ["x", "", "0" * 64 + ".e30", "a" * 700, "a/b", "%00"])
async def test_what_is_no_challenge_is_unknown(desk: Desk, change: str) -> None:
    """One made up, cut off, or signed by nobody: 404 like one that is over."""
    challenge = await desk.begin(await desk.browser())
    wrong = change if len(change) > 1 else challenge[:-1] + change

    assert (await desk.ask(wrong)).status_code == 404
    assert (await desk.say(wrong, externalID="1")).status_code == 404


async def test_a_victims_sign_in_for_a_strangers_challenge_signs_nobody_in(desk: Desk) -> None:
    """The attacker begins and sends the challenge to a victim: neither browser comes in (session fixation)."""
    attacker, victim = await desk.browser(), await desk.browser()
    challenge = await desk.begin(attacker)
    await desk.begin(victim)

    answered = await desk.say(challenge, externalID="victim")
    arrived = await victim.http.get(answered.json()["redirectTo"])
    guessed = await attacker.http.get(f"/login/site/callback?login_challenge={challenge}")
    forged = await attacker.http.get(
        f"/login/site/callback?login_challenge={challenge}&login_verifier={'0' * 64}"
    )

    assert (arrived.status_code, guessed.status_code, forged.status_code) == (400, 400, 400)
    assert "another browser" in arrived.text
    assert await who(attacker) is None
    assert await who(victim) is None


async def test_an_attackers_own_answer_signs_no_victim_in(desk: Desk) -> None:
    """A link to an arrival of the attacker's own leads a victim's browser nowhere (login CSRF)."""
    attacker, victim = await desk.browser(), await desk.browser()
    answered = await desk.say(await desk.begin(attacker), externalID="attacker")

    arrived = await victim.http.get(answered.json()["redirectTo"])

    assert arrived.status_code == 400
    assert await who(victim) is None


async def test_the_session_from_before_is_not_taken_over(desk: Desk) -> None:
    """A new id at each sign-in, and the one before is dead."""
    browser = await desk.browser()
    await desk.sign_in(browser, externalID="fixed")
    before = dict(browser.http.cookies)["latchkey_session"]

    await desk.sign_in(browser, externalID="fixed")

    assert dict(browser.http.cookies)["latchkey_session"] != before
    answer = await desk.registry.site.http.get(
        "/api/v1/session", headers={"Cookie": f"latchkey_session={before}"}
    )
    assert answer.status_code == 401


async def test_two_tabs_that_begin_at_once_both_arrive(desk: Desk) -> None:
    """Each where it was going, in whatever order; the third pushes the first one out."""
    browser = await desk.browser()
    challenges = [await desk.begin(browser, target) for target in ("/one", "/two", "/three")]
    answers = [await desk.say(challenge, externalID="tabs") for challenge in challenges]

    backs = [await browser.http.get(answer.json()["redirectTo"]) for answer in reversed(answers)]

    assert [back.headers.get("Location") for back in backs] == ["/three", "/two", None]
    assert backs[2].status_code == 400


async def test_back_and_reload_go_on(desk: Desk) -> None:
    """For the person who is signed in; once signed out, or as somebody else, the same address leads nowhere."""
    browser = await desk.browser()
    answered = await desk.say(await desk.begin(browser, "/going"), externalID="again")
    address = answered.json()["redirectTo"]

    first = await browser.http.get(address)
    session = dict(browser.http.cookies)["latchkey_session"]
    again = await browser.http.get(address)

    assert first.headers["Location"] == again.headers["Location"] == "/going"
    assert dict(browser.http.cookies)["latchkey_session"] == session
    await desk.sign_in(browser, externalID="somebody else")
    other = await browser.http.get(address)
    assert (other.status_code, "signed out" in other.text) == (400, True)


async def test_the_cookie_stays_small_however_many_were_begun(desk: Desk) -> None:
    """Below 4 KB with its name and attributes; a link that is too long is told so."""
    browser = await desk.browser()
    for _ in range(5):
        await desk.begin(browser, "/oauth/authorize?state=" + secrets.token_hex(600))

    (cookie,) = [each for each in browser.http.cookies.jar if each.name == "latchkey_login"]
    assert cookie.value is not None
    assert len(cookie.value) < 3_800
    signed = sign_target(desk.registry.resources.settings.secrets, "/x?" + secrets.token_hex(4_000))
    too_long = await browser.http.get("/login/site", params={"continue": signed})
    assert (too_long.status_code, "too long" in too_long.text) == (400, True)


@pytest.mark.parametrize(
    "cookie",
    [
        "~",
        "a.b~c.d",
        "x" * 5_000,
        "A" * 43 + ".AAAA",
        "A" * 43 + "." + "A" * 1_800,
        "~".join(["A" * 43 + ".x"] * 9),
    ],
)
async def test_a_cookie_of_any_kind_is_no_error(desk: Desk, cookie: str) -> None:
    """It is the browser's: what cannot be read counts for nothing."""
    answer = await desk.registry.site.http.get("/login/site", headers={"Cookie": f"latchkey_login={cookie}"})

    assert answer.status_code == 303


async def test_the_sites_refusal_is_told_to_the_app_that_waits(desk: Desk) -> None:
    """As ``access_denied`` with its state; without an app the person reads the site's own words."""
    author = await desk.browser()
    await desk.sign_in(author)
    client: Client = await author.create_client(redirectUri="https://app.example/callback")
    target = f"/oauth/authorize?response_type=code&client_id={client.client_id}&state=S"

    told = await desk.sign_in(await desk.browser(), target, error="You are <banned>.")
    read = await desk.sign_in(await desk.browser(), "/", error="You are <banned>.")

    location = urlsplit(told.headers["Location"])
    assert location.netloc == "app.example"
    query = parse_qs(location.query)
    assert (query["error"], query["state"]) == (["access_denied"], ["S"])
    assert read.status_code == 403
    assert "You are &lt;banned&gt;." in read.text
    assert re.search(r'href="/login[^"]*"', read.text)


async def test_the_sites_refusal_reaches_the_app_also_after_a_pushed_request(desk: Desk) -> None:
    """Where the link holds a reference only (RFC 9126 §4)."""
    author = await desk.browser()
    await desk.sign_in(author)
    client: Client = await author.create_client(redirectUri="https://app.example/callback")
    pushed = await desk.registry.site.http.post(
        "/api/v1/oauth/par", data={"response_type": "code", "state": "S"}, auth=client.basic
    )
    target = f"/oauth/authorize?client_id={client.client_id}&request_uri={pushed.json()['request_uri']}"

    told = await desk.sign_in(await desk.browser(), target, error="No.")

    query = parse_qs(urlsplit(told.headers["Location"]).query)
    assert (query["error"], query["state"]) == (["access_denied"], ["S"])


async def test_a_disabled_person_reads_a_page(desk: Desk) -> None:
    """The site's server is answered 200; the browser gets 403 and no session."""
    browser = await desk.browser()
    await desk.sign_in(browser, externalID="gone", username="going")
    answer = await browser.http.get("/api/v1/session")
    await disable_user(desk.registry.resources, answer.json()["username"])

    back = await desk.sign_in(browser, externalID="gone")

    assert back.status_code == 403
    assert "closed" in back.text
    assert await who(browser) is None


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "externalID"),
        ({"externalID": ""}, "externalID"),
        ({"externalID": "x" * 256}, "externalID"),
        ({"externalID": "a\u0000b"}, "externalID"),
        ({"externalID": 7}, "externalID"),
        ({"externalID": "1", "username": ""}, "username"),
        ({"externalID": "1", "displayName": "x" * 256}, "displayName"),
        ({"externalID": "1", "email": "nobody"}, "email"),
        ({"externalID": "1", "email": "@" * 255}, "email"),
        ({"externalID": "1", "email": None}, "email"),
        ({"externalID": "1", "error": "no"}, "externalID"),
        ({"error": ""}, "error"),
        ({"error": "x" * 1001}, "error"),
        ({"externalID": "1", "admin": True}, "admin"),
    ],
)
async def test_what_the_site_says_wrongly_names_the_field(
    desk: Desk, said: dict[str, Any], field: str
) -> None:
    """400, and the challenge can still be answered."""
    challenge = await desk.begin(await desk.browser())

    answer = await desk.say(challenge, **said)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await desk.say(challenge, externalID="right")).status_code == 200


async def test_only_a_service_key_that_may_sign_people_in_is_heard(desk: Desk) -> None:
    """401 with a challenge for everything else, 403 for a key that may do other things."""
    challenge = await desk.begin(await desk.browser())
    person = await desk.browser()
    await desk.sign_in(person)
    user_key = (await person.create_key("CLI", ["customise_score"]))["token"]
    other = service_key(desk.registry, "introspect")

    answers = {
        name: await desk.say(challenge, key, externalID="1")
        for name, key in {"user": user_key, "garbage": "x" * 300, "other": other}.items()
    }
    answers["none"] = await desk.registry.site.http.put(REQUESTS + challenge, json={"externalID": "1"})

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "user": 401,
        "garbage": 401,
        "other": 403,
        "none": 401,
    }
    assert all(answer.headers["WWW-Authenticate"].startswith("Bearer") for answer in answers.values())


async def test_without_a_login_of_the_site_there_is_no_such_page(registry: Registry) -> None:
    """404 to browsers; the site's server finds no challenge."""
    assert (await registry.site.http.get("/login/site")).status_code == 404
    assert (await registry.site.http.get("/login/site/callback")).status_code == 404
