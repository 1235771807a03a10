"""The trusted header: it is the identity of each request, and is believed from the site's own proxy alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.testing import CapturingLogger

from services.auth_api.accounts.administration import disable_user
from shared.environment import ConfigurationError
from shared.secret_tokens import session_digest
from shared.settings import load_settings
from shared.web import user_header
from tests.harness.site import bearer
from tests.harness.stores import Servers
from tests.integration.auth_api.conftest import Registry, running_registry

HEADER = "X-Forwarded-User"
SIGN_IN = "/login/site/header"


@pytest.fixture(scope="module")
async def proxied(servers: Servers) -> AsyncIterator[Registry]:
    """Services behind a proxy of 127.0.0.1, which names people."""
    settings = {"USER_HEADER": HEADER, "USER_HEADER_PEERS": "10.0.0.0/8,127.0.0.1/32", "THROTTLE": "off"}
    async with running_registry(servers, **settings) as registry:
        yield registry


@pytest.fixture
def name() -> str:
    """Somebody whom nobody here has seen."""
    return "n-" + secrets.token_hex(4)


async def session(proxied: Registry, *headers: tuple[str, str], cookie: str = "") -> httpx.Response:
    """Who is signed in, as the browser behind the proxy asks."""
    sent = [*headers, *([("Cookie", f"latchkey_session={cookie}")] if cookie else [])]
    return await proxied.site.http.get("/api/v1/session", headers=sent)


async def signed_in(proxied: Registry, name: str) -> str:
    """The cookie of a session that began with the header."""
    browser = await proxied.site.visitor()
    answer = await browser.http.get(SIGN_IN, headers={HEADER: name})
    assert answer.status_code == 303
    return dict(browser.http.cookies)["latchkey_session"]


async def test_the_header_is_who_is_signed_in(proxied: Registry, name: str) -> None:
    """With or without a session; the account is the site's id's own."""
    without = await session(proxied, (HEADER, name))
    with_session = await session(proxied, (HEADER, name), cookie=await signed_in(proxied, name))

    assert without.json() == with_session.json()
    assert without.json()["username"] == name
    (row,) = await proxied.sql("SELECT user_id FROM auth.external_identities WHERE subject = $1", name)
    assert row["user_id"] == without.json()["userID"]


async def test_without_the_header_nobody_is_signed_in(proxied: Registry, name: str) -> None:
    """Though the session's cookie comes."""
    cookie = await signed_in(proxied, name)

    assert (await session(proxied, cookie=cookie)).status_code == 401
    assert (await session(proxied, (HEADER, ""), cookie=cookie)).status_code == 401


async def test_another_value_ends_the_session(proxied: Registry, name: str) -> None:
    """It is somebody else's request, and what was there is over for good."""
    cookie = await signed_in(proxied, name)

    other = await session(proxied, (HEADER, f"{name}-2"), cookie=cookie)

    assert other.json()["username"] == f"{name}-2"
    digest = session_digest(cookie, name)
    assert await proxied.resources.bus.redis.execute("EXISTS", f"lk:session:{digest}") == 0


@pytest.mark.parametrize(
    "headers",
    [
        [(HEADER, "a"), (HEADER, "a")],
        [(HEADER, "a"), (HEADER, "b")],
        [(HEADER, "a,b")],
        [(HEADER, "a\tb")],
        [(HEADER, "x" * 256)],
        [(HEADER, "a"), ("X_Forwarded_User", "b")],
        [(HEADER, "a"), ("x-forwarded_user", "a")],
    ],
    ids=str,
)
async def test_a_header_that_is_no_single_id_is_refused(
    proxied: Registry, headers: list[tuple[str, str]]
) -> None:
    """403 where a session counts; a key's check does not look at it."""
    refused = await session(proxied, *headers)
    began = await proxied.site.http.get(SIGN_IN, headers=headers)
    checked = await proxied.issuer.http.get("/api/v1/status", headers=headers)

    assert (refused.status_code, began.status_code, checked.status_code) == (403, 403, 200)


async def test_a_header_that_is_no_utf8_is_refused(proxied: Registry) -> None:
    """Byte for byte or not at all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(proxied.site.url.rpartition(":")[2]))
    writer.write(
        b"GET /api/v1/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-User: \xff\xfe\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 403 ")


async def test_an_id_may_be_any_text(proxied: Registry) -> None:
    """As UTF-8."""
    answer = await proxied.site.http.get("/api/v1/session", headers={HEADER.encode(): "Zoë Ω".encode()})

    assert answer.status_code == 200
    rows = await proxied.sql("SELECT FROM auth.external_identities WHERE subject = $1", "Zoë Ω")
    assert len(rows) == 1


async def test_a_stranger_who_comes_past_the_proxy_is_refused_and_logged(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the address of the socket; what it says of where it comes from counts for nothing."""
    settings = {"USER_HEADER": HEADER, "USER_HEADER_PEERS": "10.0.0.0/8", "TRUSTED_PROXIES": "1"}
    log = (
        CapturingLogger()
    )  # the level of the real one is whatever the last command line of this process has set
    monkeypatch.setattr(user_header, "_log", log)
    async with running_registry(servers, **settings) as registry:
        answer = await session(registry, (HEADER, "admin"), ("X-Forwarded-For", "10.1.1.1"))

    assert answer.status_code == 403
    assert [(call.method_name, call.args, call.kwargs["peer"]) for call in log.calls] == [
        ("warning", ("user_header_refused",), "127.0.0.1")
    ]


async def test_a_change_still_needs_our_own_origin(proxied: Registry, name: str) -> None:
    """The header comes with every request of the browser, also with those that another site's page sends."""
    client = {
        "name": "Score Bot",
        "requestedPermissions": ["customise_score"],
        "redirectUri": "https://x.example/",
    }
    site = proxied.site.http

    foreign = await site.post(
        "/api/v1/clients", json=client, headers={HEADER: name, "Origin": "https://evil.example"}
    )
    own = await site.post(
        "/api/v1/clients", json=client, headers={HEADER: name, "Origin": proxied.site.origin}
    )

    assert (foreign.status_code, own.status_code) == (403, 201)


async def test_a_disabled_person_is_not_signed_in(proxied: Registry, name: str) -> None:
    """401 to programs, a page to browsers."""
    await session(proxied, (HEADER, name))
    await disable_user(proxied.resources, name)

    assert (await session(proxied, (HEADER, name))).status_code == 401
    assert (await proxied.site.http.get(SIGN_IN, headers={HEADER: name})).status_code == 403


async def test_a_key_of_such_a_person_tells_the_sites_id(proxied: Registry, name: str) -> None:
    """As after every other way in."""
    browser = await proxied.site.visitor()
    browser.http.headers[HEADER] = name
    key = (await browser.create_key("CLI", ["customise_score"]))["token"]

    checked = await proxied.issuer.http.get("/api/v1/verify", headers=bearer(key))

    assert checked.headers["X-Latchkey-External-User"] == name


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"USER_HEADER": HEADER}, "USER_HEADER_PEERS"),
        ({"USER_HEADER": HEADER, "USER_HEADER_PEERS": "everybody"}, "USER_HEADER_PEERS"),
        ({"USER_HEADER": "Cookie", "USER_HEADER_PEERS": "10.0.0.0/8"}, "USER_HEADER"),
        ({"USER_HEADER": "X User", "USER_HEADER_PEERS": "10.0.0.0/8"}, "USER_HEADER"),
        ({"OIDC_ISSUER": "https://id.example"}, "OIDC_CLIENT_ID"),
        ({"OIDC_ISSUER": "http://id.example", "OIDC_CLIENT_ID": "x"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://id.example/?a=b", "OIDC_CLIENT_ID": "x"}, "OIDC_ISSUER"),
        ({"LOGIN_URL": "http://site.example/login"}, "LOGIN_URL"),
        ({"LOGIN_URL": "https://site.example/login#x"}, "LOGIN_URL"),
        ({"LOGIN_URL": "https://site.example/?login_challenge=x"}, "LOGIN_URL"),
        ({"LOCAL_ACCOUNTS": "off"}, "LOCAL_ACCOUNTS"),
    ],
)
def test_a_wrong_setting_ends_the_start(given: dict[str, str], variable: str) -> None:
    """Named, with what was expected."""
    with pytest.raises(ConfigurationError) as raised:
        load_settings({f"LATCHKEY_{name}": value for name, value in given.items()})

    assert [problem.variable for problem in raised.value.problems] == [f"LATCHKEY_{variable}"]
