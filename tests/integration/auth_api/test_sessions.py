"""Signing in and out (interface §3, abuse cases 34 to 38)."""

from __future__ import annotations

import asyncio
import secrets
from http.cookies import SimpleCookie

import httpx
import pytest
from argon2 import PasswordHasher as Argon2

from services.auth_api.accounts.service import create_account
from services.auth_api.sessions.service import IDLE_SECONDS, LIFETIME_SECONDS
from shared.secret_tokens import digest_of
from shared.web.redirects import sign_target
from tests.harness.site import PASSWORD, Person
from tests.integration.auth_api.conftest import Registry, RegistryStarter

pytestmark = pytest.mark.costly_passwords

COOKIE = "latchkey_session"


def cookie_of(answer: httpx.Response) -> str:
    """The session id that an answer sets."""
    cookie: SimpleCookie = SimpleCookie(answer.headers["Set-Cookie"])
    return cookie[COOKIE].value


async def who(registry: Registry, cookie: str | None) -> int:
    """The status of `GET /api/v1/session` with a cookie."""
    headers = {} if cookie is None else {"Cookie": f"{COOKIE}={cookie}"}
    return (await registry.site.http.get("/api/v1/session", headers=headers)).status_code


async def test_signing_in_gives_a_session_and_signing_out_ends_it(registry: Registry) -> None:
    """200 and a cookie; 204 on DELETE; after it the same cookie is 401 (AC-35)."""
    person = await registry.site.sign_up("Session1")
    answer = await person.sign_in("sESSION1")
    assert answer.status_code == 200
    assert answer.json() == {"userID": person.user_id, "username": "Session1"}
    cookie = cookie_of(answer)
    assert await who(registry, cookie) == 200
    out = await person.http.delete("/api/v1/session")
    assert out.status_code == 204
    assert await who(registry, cookie) == 401
    assert await who(registry, None) == 401


async def test_ac_35_the_cookie_has_every_attribute(registry: Registry) -> None:
    """HttpOnly, Path=/, SameSite=Lax, no Domain; on https the `__Host-` name and Secure."""
    person = await registry.site.sign_up("Attributes")
    set_cookie = (await person.sign_in("Attributes")).headers["Set-Cookie"]
    assert set_cookie.startswith(f"{COOKIE}=")
    lower = set_cookie.lower()
    assert all(part in lower for part in ("httponly", "path=/", "samesite=lax"))
    assert "domain" not in lower
    assert "secure" not in lower


async def test_ac_35_https_cookies_are_host_only_and_secure(start_registry: RegistryStarter) -> None:
    """With an https public URL the cookie is `__Host-latchkey_session; Secure`."""
    async with start_registry(PUBLIC_URL="https://keys.example.com") as registry:
        answer = await registry.site.http.post(
            "/api/v1/users", json={"username": "Secure", "password": PASSWORD}
        )
        plain = await registry.site.http.get(
            "/api/v1/session", headers={"Cookie": answer.headers["Set-Cookie"].replace("__Host-", "", 1)}
        )
    assert answer.headers["Set-Cookie"].startswith("__Host-latchkey_session=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert plain.status_code == 401


async def test_ac_34_a_sign_in_never_takes_over_a_session(registry: Registry) -> None:
    """A planted id is not adopted, and the id from before a sign-in is dead after it."""
    await registry.site.sign_up("Fixation")
    planted = secrets.token_hex(32)[:43]
    body = {"username": "Fixation", "password": PASSWORD}
    first = await registry.site.http.post(
        "/api/v1/session", json=body, headers={"Cookie": f"{COOKIE}={planted}"}
    )
    assert cookie_of(first) != planted
    assert await who(registry, planted) == 401
    second = await registry.site.http.post(
        "/api/v1/session", json=body, headers={"Cookie": f"{COOKIE}={cookie_of(first)}"}
    )
    assert await who(registry, cookie_of(first)) == 401
    assert await who(registry, cookie_of(second)) == 200


@pytest.mark.parametrize(
    "value", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "-", '"quoted"', "é" * 43, "a" * 5000]
)
async def test_odd_cookies_are_no_session(registry: Registry, value: str) -> None:
    """What is no id of ours is 401 and never looked up."""
    headers = [(b"Cookie", f"{COOKIE}={value}".encode())]
    answer = await registry.site.http.get("/api/v1/session", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Cookie ")


@pytest.mark.spec("RFC 9113", "8.2.3", "Several Cookie lines are read as one")
@pytest.mark.parametrize("before", [[], ["a=1"], ["a=1", "", "b=2; c"]], ids=repr)
@pytest.mark.parametrize("after", [[], ["z=9"]], ids=repr)
async def test_the_session_may_be_on_any_cookie_line(
    registry: Registry, before: list[str], after: list[str]
) -> None:
    """A proxy that splits the header signs nobody out."""
    person = await registry.site.sign_up()
    own = f"{COOKIE}={person.http.cookies[COOKIE]}"
    headers = [("Cookie", line) for line in (*before, own, *after)]
    assert (await registry.site.http.get("/api/v1/session", headers=headers)).json()[
        "userID"
    ] == person.user_id
    body = {"username": person.username, "password": PASSWORD}
    assert (await registry.site.http.post("/api/v1/session", json=body, headers=headers)).status_code == 200
    assert (await registry.site.http.get("/api/v1/session", headers=headers)).status_code == 401  # replaced


async def test_only_digests_of_sessions_are_in_redis(registry: Registry) -> None:
    """No key or value of Redis holds the cookie."""
    person = await registry.site.sign_up("Digests")
    cookie = cookie_of(await person.sign_in("Digests"))
    redis = registry.resources.bus.redis
    names = await redis.execute("KEYS", "*")
    assert f"lk:session:{digest_of(cookie)}".encode() in names
    assert not any(cookie.encode() in name for name in names)


async def test_sessions_end_when_idle_and_after_ninety_days(registry: Registry) -> None:
    """A visit moves the idle end; the absolute one stays."""
    person = await registry.site.sign_up("Lifetimes")
    cookie = cookie_of(await person.sign_in("Lifetimes"))
    redis, name = registry.resources.bus.redis, f"lk:session:{digest_of(cookie)}"
    assert 0 < await redis.execute("TTL", name) <= IDLE_SECONDS
    await redis.execute("EXPIRE", name, 3600)
    assert await who(registry, cookie) == 200
    assert await redis.execute("TTL", name) > IDLE_SECONDS - 60
    old = registry.resources.clock.now() - LIFETIME_SECONDS * 1000 + 3_600_000
    await redis.execute("SET", name, f"{person.user_id}:0:{old}", "EX", 60)
    assert await who(registry, cookie) == 200
    assert await redis.execute("TTL", name) <= 3600
    await redis.execute("SET", name, f"{person.user_id}:0:{old - 3_600_001}", "EX", 60)
    assert await who(registry, cookie) == 401


@pytest.mark.parametrize("password", ["wrong password", "", " ", PASSWORD + " ", "x" * 256])
async def test_ac_38_unknown_and_wrong_look_the_same(registry: Registry, password: str) -> None:
    """Status, body and headers of a known and an unknown username are equal, also for an empty password."""
    if not await registry.sql("SELECT FROM auth.users WHERE username = 'Known'"):
        await registry.site.sign_up("Known")
    answers = [
        await registry.site.http.post("/api/v1/session", json={"username": name, "password": password})
        for name in ("Known", "Unknown", "not a username", "known")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    varying = {"date", "x-request-id"}
    headers = [{k: v for k, v in answer.headers.items() if k not in varying} for answer in answers]
    assert all(each == headers[0] for each in headers)


async def test_ac_38_unknown_users_take_as_long(registry: Registry) -> None:
    """The median time of an unknown username is that of a known one: a dummy is hashed. By turns, so that a load is on both."""
    await registry.site.sign_up("Timed")
    times: dict[str, list[float]] = {"Timed": [], "Nobody-here": [], "warm-up": []}

    for _ in range(9):
        for username, taken in times.items():
            answer = await registry.site.http.post(
                "/api/v1/session", json={"username": username, "password": "wrong password"}
            )
            taken.append(answer.elapsed.total_seconds())

    known, unknown = (sorted(times[username])[4] for username in ("Timed", "Nobody-here"))
    assert unknown > known * 0.5


async def test_ac_39_too_long_passwords_are_refused_before_hashing(registry: Registry) -> None:
    """257 characters are 400, a megabyte 413, both at once and whoever it is for."""
    for username in ("Known", "Nobody-here"):
        answer = await registry.site.http.post(
            "/api/v1/session", json={"username": username, "password": "x" * 257}
        )
        assert answer.status_code == 400
        answer = await registry.site.http.post(
            "/api/v1/session", json={"username": username, "password": "x" * 1_000_000}
        )
        assert answer.status_code == 413


async def test_ac_39_a_flood_of_sign_ins_leaves_the_service_answering(registry: Registry) -> None:
    """200 at once: each is 401 or 503 with Retry-After, and meanwhile the service is ready in under a second."""
    body = {"username": "Nobody-here", "password": "wrong password"}
    flood = asyncio.gather(
        *(registry.site.http.post("/api/v1/session", json=body, timeout=30) for _ in range(200))
    )
    await asyncio.sleep(0)
    ready = await registry.site.http.get("/livez")
    answers = await flood
    assert ready.status_code == 200
    assert {answer.status_code for answer in answers} <= {401, 503}
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_foreign_origins_cannot_sign_anybody_in_or_out(
    registry: Registry, headers: dict[str, str]
) -> None:
    """Login CSRF and logout CSRF are 403."""
    person = await registry.site.sign_up()
    body = {"username": person.username, "password": PASSWORD}
    for path in ("/api/v1/session", "/api/v1/users"):
        assert (await registry.site.http.post(path, json=body, headers=headers)).status_code == 403
        assert (await registry.site.http.post(path, data=body, headers=headers)).status_code == 403
    cookie = {"Cookie": f"{COOKIE}={person.http.cookies[COOKIE]}"}
    out = await registry.site.http.delete("/api/v1/session", headers=headers | cookie)
    assert out.status_code == 403
    assert (await registry.site.http.delete("/api/v1/session", headers=cookie)).status_code == 403
    assert (await person.http.get("/api/v1/session")).status_code == 200


async def test_fetch_metadata_may_stand_in_for_the_origin(registry: Registry) -> None:
    """`Sec-Fetch-Site: same-origin` without an Origin is a page of ours."""
    person = await registry.site.sign_up()
    headers = {"Cookie": f"{COOKIE}={person.http.cookies[COOKIE]}", "Sec-Fetch-Site": "same-origin"}
    assert (await registry.site.http.delete("/api/v1/session", headers=headers)).status_code == 204


async def test_ac_36_a_form_goes_on_where_the_person_was(registry: Registry) -> None:
    """303 to the target that a page of ours signed, however often; without one to the home page."""
    person = await registry.site.sign_up()
    target = "/oauth/authorize?client_id=x&state=a%2Fb%20c"
    signed = sign_target(registry.resources.settings.secrets, target)
    form = {"username": person.username, "password": PASSWORD, "continue": signed}
    wrong = await registry.site.http.post("/api/v1/session", data=form | {"password": "wrong password"})
    assert wrong.status_code == 303
    assert wrong.headers["Location"] == f"/login?error=invalid&continue={signed}"
    assert COOKIE not in wrong.headers["Set-Cookie"]
    right = await registry.site.http.post("/api/v1/session", data=form)
    assert (right.status_code, right.headers["Location"]) == (303, target)
    assert await who(registry, cookie_of(right)) == 200
    again = await registry.site.http.post("/api/v1/session", data=form)
    assert again.headers["Location"] == target
    without = await registry.site.http.post("/api/v1/session", data=form | {"continue": ""})
    assert without.headers["Location"] == "/"


@pytest.mark.parametrize(
    "given", ["//evil.com", "https://evil.com", "/\\evil.com", "a" * 22, "x\r\nSet-Cookie: a=b", ""]
)
async def test_ac_36_nothing_from_the_browser_becomes_an_address(registry: Registry, given: str) -> None:
    """An unknown or malformed `continue` leads home, right password or wrong."""
    person = await registry.site.sign_up()
    form = {"username": person.username, "password": PASSWORD, "continue": given}
    right = await registry.site.http.post("/api/v1/session", data=form)
    assert right.headers["Location"] == "/"
    wrong = await registry.site.http.post("/api/v1/session", data=form | {"password": "wrong password"})
    assert wrong.headers["Location"].split("&")[0] == "/login?error=invalid"
    assert "evil" not in wrong.headers["Location"]


@pytest.mark.parametrize("target", ["//evil.com", "https://evil.com", "/\t/evil.com", "evil"])
async def test_ac_36_only_paths_of_ours_are_followed(registry: Registry, target: str) -> None:
    """What a page of ours has signed is checked too."""
    person: Person = await registry.site.sign_up()
    signed = sign_target(registry.resources.settings.secrets, target)
    form = {"username": person.username, "password": PASSWORD, "continue": signed}
    answer = await registry.site.http.post("/api/v1/session", data=form)
    assert answer.headers["Location"] == "/"


async def test_ac_41_the_host_header_is_never_believed(registry: Registry) -> None:
    """Another Host changes neither Location nor cookie."""
    person = await registry.site.sign_up()
    form = {"username": person.username, "password": PASSWORD}
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    answer = await registry.site.http.post("/api/v1/session", data=form, headers=headers)
    assert answer.status_code == 303
    assert "evil" not in str(answer.headers)


async def test_passwords_of_an_older_cost_are_hashed_anew(registry: Registry) -> None:
    """A sign-in with the right password upgrades the row, and the password stays right."""
    await create_account(registry.resources, "Upgraded", PASSWORD, actor="test")
    weak = Argon2(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    await registry.sql("UPDATE auth.users SET password_hash = $1 WHERE username = 'Upgraded'", weak)
    person = await registry.site.visitor()
    assert (await person.sign_in("Upgraded")).status_code == 200
    rows = await registry.sql("SELECT password_hash FROM auth.users WHERE username = 'Upgraded'")
    assert "m=19456,t=2" in rows[0]["password_hash"]
    assert (await person.sign_in("Upgraded")).status_code == 200
