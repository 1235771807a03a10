"""A person's password and sessions: `/api/v1/account` (interface §6, Account)."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from services.auth_api.rate_limit import SIGN_IN_ACCOUNT
from services.auth_api.sessions.account_sessions import LONGEST_AGENT, end_other_sessions
from services.auth_api.sessions.service import MOST_SESSIONS
from shared.contracts.sessions import SessionUser
from shared.purge import Purge
from shared.secret_tokens import digest_of
from tests.harness.site import PASSWORD, Person
from tests.integration.auth_api.conftest import Registry, RegistryStarter

NEW = "another horse battery"
SESSIONS = "/api/v1/account/sessions"


async def change(person: Person, current: str = PASSWORD, new: str = NEW, **more: object) -> httpx.Response:
    """`POST /api/v1/account/password`."""
    body = {"current": current, "new": new, **more}
    return await person.http.post("/api/v1/account/password", json=body)


async def elsewhere(person: Person) -> Person:
    """The same person in another browser."""
    other = await person.site.visitor()
    assert (await other.sign_in(person.username)).status_code == 200
    return other


async def status_of(person: Person) -> int:
    """200 while the person is signed in."""
    return (await person.http.get("/api/v1/session")).status_code


def fields_of(answer: httpx.Response) -> dict[str, str]:
    """The fields that a problem names."""
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


async def test_ac_35_a_new_password_ends_every_other_session(registry: Registry) -> None:
    """204 with a new cookie; the old password, the old cookie and every other browser are out."""
    person = await registry.site.sign_up()
    other = await elsewhere(person)
    old_cookies = httpx.Cookies(person.http.cookies)
    answer = await change(person)
    assert (answer.status_code, answer.content, answer.headers["Cache-Control"]) == (204, b"", "no-store")
    assert await status_of(person) == 200
    assert await status_of(other) == 401
    person.http.cookies = old_cookies
    assert await status_of(person) == 401
    assert (await person.sign_in(person.username)).status_code == 401
    assert (await person.sign_in(person.username, NEW)).status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "field", "words"),
    [
        ("wrong password", NEW, "current", "not your password"),
        ("x" * 300, NEW, "current", "not your password"),
        (PASSWORD, PASSWORD, "new", "have already"),
        (PASSWORD, "short", "new", "8 to 256"),
        (PASSWORD, "Password1", "new", "most common"),
        (
            PASSWORD,
            "password1".translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)}),
            "new",
            "most common",
        ),
    ],
)
async def test_a_wrong_field_is_named(
    registry: Registry, current: str, new: str, field: str, words: str
) -> None:
    """400, and nothing has changed."""
    person = await registry.site.sign_up()
    answer = await change(person, current, new)
    assert answer.status_code == 400
    assert list(fields_of(answer)) == [field]
    assert words in fields_of(answer)[field]
    assert await status_of(person) == 200
    assert (await person.sign_in(person.username)).status_code == 200


async def test_a_common_password_is_refused_at_sign_up(registry: Registry) -> None:
    """By the same words, and the form's page is told which."""
    for password, word in (("Password1", "common"), ("Signs-Up-1", "is-name")):
        body = {"username": "signs-up-1", "password": password}
        answer = await registry.site.http.post("/api/v1/users", json=body)
        assert (answer.status_code, list(fields_of(answer))) == (400, ["password"])
        form = await registry.site.http.post("/api/v1/users", data=body)
        assert form.headers["Location"] == f"/sign-up?error={word}"


async def test_a_change_is_only_ones_own(registry: Registry) -> None:
    """401 without a session, 403 from another site, 400 for fields that are no part of it."""
    person = await registry.site.sign_up()
    visitor = await registry.site.visitor()
    assert (await change(visitor)).status_code == 401
    body = {"current": PASSWORD, "new": NEW}
    foreign = await person.http.post(
        "/api/v1/account/password", json=body, headers={"Origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    assert (await change(person, userID=1)).status_code == 400
    assert (await person.http.post("/api/v1/account/password", json={"new": NEW})).status_code == 400
    assert (await person.sign_in(person.username)).status_code == 200


async def test_the_form_is_answered_with_its_page(registry: Registry) -> None:
    """303 to the page, with the word for what is wrong; a session that is over leads to it too, and so to signing in."""
    person = await registry.site.sign_up()
    path = "/api/v1/account/password"
    for form, location in (
        ({"current": "wrong password", "new": NEW}, "/account?error=current"),
        ({"current": PASSWORD, "new": "short"}, "/account?error=new"),
        ({"current": PASSWORD, "new": "password"}, "/account?error=common"),
        ({"current": PASSWORD, "new": PASSWORD}, "/account?error=same"),
        ({"current": PASSWORD, "new": NEW}, "/account?done=password"),
    ):
        answer = await person.http.post(path, data=form)
        assert (answer.status_code, answer.headers["Location"]) == (303, location)
    twice = await person.http.post(
        path, content="new=a&new=b&current=c", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (twice.status_code, list(fields_of(twice))) == (400, ["new"])
    person.http.cookies.clear()
    over = await person.http.post(
        path, data={"current": NEW, "new": PASSWORD}, headers={"Accept": "text/html"}
    )
    assert (over.status_code, over.headers["Location"]) == (303, "/account")


async def test_ac_37_a_session_is_no_way_to_guess(start_registry: RegistryStarter) -> None:
    """Wrong current passwords are limited, and lock nobody out of signing in where they have been before."""
    async with start_registry() as registry:
        person = await registry.site.sign_up()
        statuses = [(await change(person, "wrong password")).status_code for _ in range(15)]
        assert set(statuses) == {400, 429}
        assert statuses.count(400) <= SIGN_IN_ACCOUNT.burst + 1
        answer = await change(person)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await person.sign_in(person.username)).status_code == 200


async def test_ac_37_no_typed_name_counts_as_somebodys_own_browser(start_registry: RegistryStarter) -> None:
    """Guesses at odd names do not use up the tries of a person at a place where they have signed in before."""
    async with start_registry(TRUSTED_PROXIES="1") as registry:
        await registry.site.sign_up("Victim")

        async def sign_in(username: str, password: str, peer: str) -> int:
            answer = await registry.site.http.post(
                "/api/v1/session",
                json={"username": username, "password": password},
                headers={"X-Forwarded-For": peer},
            )
            return answer.status_code

        assert await sign_in("Victim", PASSWORD, "203.0.113.7") == 200
        for number in range(15):
            await sign_in("victim 203.0.113.7", "wrong password", f"198.51.{number}.1")
        assert await sign_in("Victim", PASSWORD, "203.0.113.7") == 200


async def test_two_changes_at_once_are_one(registry: Registry) -> None:
    """The other one compared a password that is none any more."""
    person = await registry.site.sign_up()
    answers = await asyncio.gather(*(change(person, new=f"{NEW} {number}") for number in range(4)))
    assert sorted(answer.status_code for answer in answers).count(204) == 1


async def test_sessions_are_listed(registry: Registry) -> None:
    """Where from and since when, this one first; nothing in it is a secret or acts for one."""
    person = await registry.site.sign_up()
    person.http.headers["User-Agent"] = "First/1.0"
    other = await registry.site.visitor()
    other.http.headers["User-Agent"] = "Second/1.0 " + "x" * 300
    await other.sign_in(person.username)
    answer = await other.http.get(SESSIONS)
    here, there = answer.json()
    assert [here["current"], there["current"]] == [True, False]
    assert set(here) == {"sessionID", "createdOn", "lastSeenOn", "peer", "userAgent", "current"}
    assert here["peer"] == there["peer"] == "127.0.0.1"
    assert here["userAgent"] == ("Second/1.0 " + "x" * 300)[:LONGEST_AGENT]
    now = registry.resources.clock.now()
    for session in (here, there):
        assert now - 60_000 < session["createdOn"] <= session["lastSeenOn"] <= now + 1000
    for cookie in (*person.http.cookies.jar, *other.http.cookies.jar):
        assert str(cookie.value) not in answer.text
    assert (await registry.site.http.get(SESSIONS)).status_code == 401


async def test_all_other_sessions_end(registry: Registry) -> None:
    """Also one that no list names, as the release before kept none; the asking one lives on."""
    person = await registry.site.sign_up()
    other, unlisted = await elsewhere(person), await elsewhere(person)
    await registry.resources.bus.redis.execute("DEL", f"lk:sessions:{person.user_id}")
    assert [session["current"] for session in (await person.http.get(SESSIONS)).json()] == [True]
    assert (await person.http.delete(SESSIONS)).status_code == 204
    assert [await status_of(each) for each in (person, other, unlisted)] == [200, 401, 401]
    assert (await person.sign_in(person.username)).status_code == 200
    foreign = await person.http.delete(SESSIONS, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403


async def test_ending_the_others_brings_no_ended_session_back(registry: Registry) -> None:
    """A thief's request that was let in just before the password changed does not save the thief's session."""
    person = await registry.site.sign_up()
    thief = await elsewhere(person)
    (cookie,) = thief.http.cookies.jar
    assert (await change(person)).status_code == 204
    user = SessionUser(user_id=person.user_id, username=person.username)
    await end_other_sessions(registry.resources, user, digest_of(str(cookie.value)), None)
    assert [await status_of(each) for each in (person, thief)] == [200, 401]


async def test_one_session_ends(registry: Registry) -> None:
    """204, then 404; nobody else's is found."""
    person, stranger = await registry.site.sign_up(), await registry.site.sign_up()
    other = await elsewhere(person)
    (_, there) = (await person.http.get(SESSIONS)).json()
    path = f"{SESSIONS}/{there['sessionID']}"
    assert (await stranger.http.delete(path)).status_code == 404
    assert await status_of(other) == 200
    assert (await person.http.delete(path)).status_code == 204
    assert (await person.http.delete(path)).status_code == 404
    assert [await status_of(each) for each in (person, other)] == [200, 401]


async def test_an_account_keeps_so_many_sessions(registry: Registry) -> None:
    """The oldest ends: nobody fills Redis by signing in."""
    person = await registry.site.sign_up()
    first = httpx.Cookies(person.http.cookies)
    visitors = [await registry.site.visitor() for _ in range(MOST_SESSIONS)]
    for visitor in visitors:
        await visitor.sign_in(person.username)
    person.http.cookies = first
    assert await status_of(person) == 401
    assert await status_of(visitors[0]) == 200
    listed = (await visitors[-1].http.get(SESSIONS)).json()
    assert len(listed) == MOST_SESSIONS


async def test_a_session_of_the_release_before_is_listed(registry: Registry) -> None:
    """It has the same record and nothing beside it; whence it came is not known."""
    person = await registry.site.sign_up()
    (cookie,) = person.http.cookies.jar
    digest, redis = digest_of(str(cookie.value)), registry.resources.bus.redis
    assert re.fullmatch(rb"\d+:0:\d+", await redis.execute("GET", f"lk:session:{digest}"))
    await registry.sql("DELETE FROM auth.session_origins WHERE user_id = $1", person.user_id)
    (here,) = (await person.http.get(SESSIONS)).json()
    assert (here["current"], here["peer"], here["userAgent"]) == (True, None, None)


async def test_no_address_is_told_to_redis(registry: Registry) -> None:
    """From where somebody signed in lies in PostgreSQL, under the public id, and not for ever so much of it."""
    person = await registry.site.sign_up()
    person.http.headers["User-Agent"] = "Marked-Browser/1.0"
    for _ in range(MOST_SESSIONS + 5):
        await person.sign_in(person.username)
    redis = registry.resources.bus.redis
    for name in await redis.execute("KEYS", "lk:session*"):
        kind = await redis.execute("TYPE", name)
        held = await redis.execute(*("GET", name) if kind == b"string" else ("LRANGE", name, 0, -1))
        assert b"127.0.0.1" not in repr(held).encode()
        assert b"Marked-Browser" not in repr(held).encode()
    rows = await registry.sql("SELECT * FROM auth.session_origins WHERE user_id = $1", person.user_id)
    assert len(rows) == MOST_SESSIONS
    (cookie,) = person.http.cookies.jar
    assert digest_of(str(cookie.value)) not in str(rows)
    old = "UPDATE auth.session_origins SET begun_on = 0 WHERE user_id = $1"
    await registry.sql(old, person.user_id)
    assert await Purge(registry.resources.database, {"purge_session_origins": 90}).purge() >= MOST_SESSIONS
    assert not await registry.sql("SELECT FROM auth.session_origins WHERE user_id = $1", person.user_id)
