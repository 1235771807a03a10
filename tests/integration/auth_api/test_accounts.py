"""Accounts over HTTP: signing up, and what a username and a password may be (interface §3)."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from shared.web.redirects import sign_target
from tests.harness.site import PASSWORD, Site
from tests.integration.auth_api.conftest import Registry, RegistryStarter


async def sign_up(site: Site, **body: object) -> tuple[int, dict[str, object]]:
    """A raw sign-up; status and document."""
    answer = await site.http.post("/api/v1/users", json=body)
    return answer.status_code, answer.json()


def fields_of(document: dict[str, object]) -> list[str]:
    """The fields that an error names."""
    errors = document["errors"]
    assert isinstance(errors, list)
    return [error["field"] for error in errors]


async def test_sign_up_gives_an_account_and_a_session(registry: Registry) -> None:
    """Signing up answers 201 with the id and a cookie that is signed in."""
    person = await registry.site.sign_up("Alice")
    answer = await person.http.get("/api/v1/session")
    assert answer.status_code == 200
    assert answer.json() == {"userID": person.user_id, "username": "Alice"}


async def test_usernames_are_unique_ignoring_case(registry: Registry) -> None:
    """A name that differs in case alone is taken: 409 that names the field."""
    await registry.site.sign_up("Bob_the-1")
    status, document = await sign_up(registry.site, username="bOB_THE-1", password=PASSWORD)
    assert (status, fields_of(document)) == (409, ["username"])


async def test_two_at_once_get_one_name(registry: Registry) -> None:
    """Of ten simultaneous sign-ups with one name, one is 201 and nine are 409."""
    results = await asyncio.gather(
        *(sign_up(registry.site, username="Racer", password=PASSWORD) for _ in range(10))
    )
    assert sorted(status for status, _ in results) == [201] + [409] * 9


@pytest.mark.parametrize(
    "username",
    [
        "ab",
        "x" * 31,
        "",
        "a b",
        "é" * 4,
        "a.b.c",
        "a\nbc",
        "abc ",
        "\uff11\uff12",
        "\u0661\u0662\u0663",
        "\ufdfa" * 30,
        "a/b",
        "' OR 1=1",
    ],
)
async def test_usernames_outside_the_rule_are_400(registry: Registry, username: str) -> None:
    """3 to 30 of A-Z, a-z, 0-9, _ and -; the refusal names the field."""
    status, document = await sign_up(registry.site, username=username, password=PASSWORD)
    assert (status, fields_of(document)) == (400, ["username"])


@pytest.mark.spec("RFC 8265", "3.3.1", "Usernames typed in full width are mapped to plain letters")
@pytest.mark.parametrize("form", [True, False], ids=["form", "JSON"])
async def test_a_username_may_be_typed_in_full_width(registry: Registry, *, form: bool) -> None:
    """An input method's letters are the plain ones, at signing up and in; of a password nothing is widened or narrowed."""
    name = f"Wide-{int(form)}"
    wide = name.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})
    password = "\uff43orrect horse"

    async def send(path: str, username: str, password: str) -> httpx.Response:
        body = {"username": username, "password": password}
        http = registry.site.http
        return await (http.post(path, data=body) if form else http.post(path, json=body))

    assert (await send("/api/v1/users", wide, password)).status_code == (303 if form else 201)
    for typed in (wide, name):
        answer = await send("/api/v1/session", typed, password)
        cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
        who = await registry.site.http.get("/api/v1/session", headers=cookie)
        assert who.json()["username"] == name
    refused = await send("/api/v1/session", name, "correct horse")
    assert refused.headers.get("Location", "/login?error=invalid") == "/login?error=invalid"
    assert refused.status_code == (303 if form else 401)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 257, "x" * 60_000])
async def test_passwords_outside_the_rule_are_400(registry: Registry, password: str) -> None:
    """8 to 256 characters; the refusal names the field."""
    status, document = await sign_up(registry.site, username="Fine", password=password)
    assert (status, fields_of(document)) == (400, ["password"])


async def test_the_longest_password_works(registry: Registry) -> None:
    """256 characters of any script."""
    person = await registry.site.sign_up("Longwinded", "é" * 256)
    assert (await person.sign_in("Longwinded", "é" * 256)).status_code == 200


@pytest.mark.spec(
    "RFC 9457", "3.1", "type, title, status and detail; status is that of the answer; errors names the fields"
)
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "Fine"}, "password"),
        ({"password": PASSWORD}, "username"),
        ({"username": 7, "password": PASSWORD}, "username"),
        ({"username": "Fine", "password": None}, "password"),
        ({"username": "Fine", "password": PASSWORD, "admin": True}, "admin"),
        ({"username": "Fine", "password": PASSWORD, "userID": 1}, "userID"),
        ({"username": ["Fine"], "password": PASSWORD}, "username"),
        ({"username": "Fi\0ne", "password": PASSWORD}, "username"),
    ],
)
async def test_ac_48_ac_51_wrong_and_unknown_fields_are_named(
    registry: Registry, body: dict[str, object], field: str
) -> None:
    """Missing, of the wrong type, with NUL, or unknown: 400 problem+json with the field's name."""
    answer = await registry.site.http.post("/api/v1/users", json=body)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert {"type", "title", "status", "detail", "errors"} <= set(problem)
    assert problem["status"] == answer.status_code
    assert all(problem[member] for member in ("type", "title", "detail"))
    assert fields_of(problem) == [field]


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"username":"Fine","username":"x","password":"12345678"}', "application/json", 400),
        (b'{"username":"Fine","password":"\xff2345678"}', "application/json", 400),
        (b'{"username":"\\ud800abc","password":"12345678"}', "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b'{"a":' + b"9" * 5_000 + b"}", "application/json", 400),
        (b"x" * 70_000, "application/json", 413),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json; charset=utf-16", 415),
        (b"username=Fine&username=x&password=12345678", "application/x-www-form-urlencoded", 400),
        (b"username=Fine%00&password=12345678", "application/x-www-form-urlencoded", 400),
        (b"username=Fine%ff&password=12345678", "application/x-www-form-urlencoded", 400),
        (b"username=Fine&password=12345678&role=admin", "application/x-www-form-urlencoded", 400),
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_ac_10_hostile_bodies_never_give_a_5xx(
    registry: Registry, content: bytes, media_type: str, status: int
) -> None:
    """Malformed, doubled, nested, huge, foreign: each its own 4xx."""
    for path in ("/api/v1/users", "/api/v1/session"):
        answer = await registry.site.http.post(path, content=content, headers={"Content-Type": media_type})
        assert answer.status_code == status, answer.text


async def test_sign_up_may_be_closed(start_registry: RegistryStarter) -> None:
    """403 to programs; the form goes back to the page with the reason."""
    async with start_registry(SIGN_UP="closed") as registry:
        status, _ = await sign_up(registry.site, username="Fine", password=PASSWORD)
        form = await registry.site.http.post("/api/v1/users", data={"username": "Fine", "password": PASSWORD})
    assert status == 403
    assert (form.status_code, form.headers["Location"]) == (303, "/sign-up?error=closed")


async def test_sign_ups_are_limited_by_peer(start_registry: RegistryStarter) -> None:
    """Beyond SIGN_UP_LIMIT in an hour: 429 with Retry-After."""
    async with start_registry(SIGN_UP_LIMIT="3") as registry:
        for number in range(3):
            assert (await sign_up(registry.site, username=f"user{number}", password=PASSWORD))[0] == 201
        answer = await registry.site.http.post(
            "/api/v1/users", json={"username": "user4", "password": PASSWORD}
        )
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 1200


@pytest.mark.parametrize(
    ("username", "password", "error"),
    [
        ("ab", PASSWORD, "error=username"),
        ("Fine", "short", "error=password"),
        ("ab", "x" * 257, "error=username&error=password"),
        ("Formtaken", PASSWORD, "error=taken"),
    ],
)
async def test_a_sign_up_form_goes_back_with_the_reason(
    registry: Registry, username: str, password: str, error: str
) -> None:
    """303 to the page, each reason as a word, nothing of what was typed."""
    await sign_up(registry.site, username="Formtaken", password=PASSWORD)
    onward = sign_target(registry.resources.settings.secrets, "/device?user_code=x")
    answer = await registry.site.http.post(
        "/api/v1/users", data={"username": username, "password": password, "continue": onward}
    )
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/sign-up?{error}&continue={onward}"


async def test_passwords_are_kept_as_argon2id_alone(registry: Registry) -> None:
    """No row holds the password."""
    await registry.site.sign_up("Secretive", "marked-password-123")
    rows = await registry.sql("SELECT * FROM auth.users WHERE username = 'Secretive'")
    assert rows[0]["password_hash"].startswith("$argon2id$v=19$")
    assert "marked-password-123" not in str(rows)
