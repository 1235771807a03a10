"""What holds for every page: headers, strangers' texts, outages, devices."""

from __future__ import annotations

import time

import httpx
import pytest

from deploy.embedded.ports import free_port
from services.consent_ui.app import create_app
from services.consent_ui.pages import CsrfTokens
from shared.secret_tokens import digest_of
from shared.settings import load_settings
from shared.web.server import serving
from tests.harness.site import Client, Person, Site
from tests.harness.stores import Stores
from tests.integration.consent_ui.visits import (
    open_consent,
    open_page,
    open_until,
    policy_of,
    press,
    title_of,
)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "Latchkey",
}


def assert_guarded(answer: httpx.Response) -> None:
    """The header table of AC-60, each header once."""
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value], f"{answer.request.url}: {name}"
    policy = policy_of(answer)
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["X-Request-ID"]


@pytest.mark.spec("RFC 6749", "10.13", "No page can be framed")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/login", 200),
        ("GET", "/sign-up", 200),
        ("GET", "/developer", 303),
        ("GET", "/device", 303),
        ("GET", "/oauth/request-auth?clientID=nobody", 404),
        ("GET", "/oauth/authorize", 400),
        ("GET", "/oauth/authorize?x=%ff", 400),
        ("GET", "/oauth/decide", 405),
        ("DELETE", "/login", 405),
        ("POST", "/oauth/decide", 403),
        ("GET", "/static/../pages.py", 404),
        ("GET", "/static/latchkey.css", 404),
        ("GET", "/nothing", 404),
        ("GET", "//evil.example/", 404),
    ],
)
async def test_every_answer_is_guarded(site: Site, method: str, path: str, status: int) -> None:
    """Pages, redirects and errors of every kind (AC-31, AC-60)."""
    headers = {"Origin": "https://evil.example"} if method == "POST" else {}
    answer = await site.http.request(method, httpx.URL(site.url + path), headers=headers)
    assert answer.status_code == status
    assert_guarded(answer)


async def test_signed_in_pages_are_guarded_too(person: Person, client: Client) -> None:
    """And the redirect to the app."""
    page = await open_consent(person, client)
    assert_guarded(page)
    assert_guarded(await press(person, page, "Accept"))
    for path in ("/", "/developer", f"/client-file-flow/{client.client_id}", "/device"):
        assert_guarded(await open_page(person, path))


async def test_strangers_texts_are_only_text(author: Person, person: Person) -> None:
    """A client with markup in every field that takes it, on every page that shows it (AC-42)."""
    evil = '"><img src=x onerror=alert(1)></title>'
    client = await author.create_client(name=evil, description=evil, apiKeyFormat=f"{evil}%%API_KEY%%")
    await person.give_key(client)
    for visitor, path in (
        (person, f"/oauth/request-auth?clientID={client.client_id}"),
        (person, f"/client-file-flow/{client.client_id}"),
        (person, f"/apps/{client.client_id}/disconnect"),
        (person, "/"),
        (author, "/developer"),
        (author, f"/developer/clients/{client.client_id}"),
        (author, f"/developer/clients/{client.client_id}/edit"),
        (author, f"/developer/clients/{client.client_id}/delete"),
    ):
        page = await open_page(visitor, path)
        assert "<img" not in page.text, path
        assert "&lt;img src=x onerror=alert(1)&gt;" in page.text, path


async def test_an_imitation_is_marked(author: Person, person: Person) -> None:
    """Our own name on a stranger's app: a warning above everything else."""
    client = await author.create_client(name="Latchkey Support")
    page = await open_consent(person, client)
    assert "Be careful." in page.text
    assert page.text.index("Be careful.") < page.text.index("It would be able to")


@pytest.mark.spec("RFC 8628", "3.3", "The page shows the code again and asks")
async def test_a_device_is_connected(site: Site, author: Person, person: Person) -> None:
    """The code is typed in any spelling, shown again with a warning, and only Accept connects (AC-57, AC-58)."""
    client = await author.create_client(name="TV app", redirectUri=None)
    start = await site.http.post("/api/v1/oauth/device_authorization", data={"client_id": client.client_id})
    codes = start.json()
    entry = await open_page(person, "/device")
    assert 'autocomplete="one-time-code"' in entry.text
    assert 'autocapitalize="characters"' in entry.text
    typed = codes["user_code"].lower().replace("-", " ")
    page = await person.http.get("/device", params={"user_code": typed})
    assert page.status_code == 200
    assert codes["user_code"] in page.text
    assert "If somebody sent you this code or link, decline" in page.text
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": codes["device_code"]}
    waiting = await site.token(client, **form)
    assert waiting.json()["error"] == "authorization_pending"
    accepted = await press(person, page, "Accept")
    assert (accepted.status_code, title_of(accepted)) == (200, "Done: return to your device · Latchkey")


async def test_the_code_that_is_shown_is_the_one_that_is_accepted(
    site: Site, author: Person, person: Person
) -> None:
    """A link with two codes cannot show one device's and connect another's."""
    client = await author.create_client(name="TV app", redirectUri=None)
    first, second = [
        (
            await site.http.post("/api/v1/oauth/device_authorization", data={"client_id": client.client_id})
        ).json()
        for _ in range(2)
    ]
    link = f"/device?user_code={first['user_code']}&user_code={second['user_code']}"
    page = await open_page(person, link)
    assert f'<strong class="code big">{first["user_code"]}</strong>' in page.text
    assert f'<strong class="code big">{second["user_code"]}</strong>' not in page.text
    assert (await press(person, page, "Accept")).status_code == 200
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}
    assert (await site.token(client, **form, device_code=second["device_code"])).status_code == 400
    assert (await site.token(client, **form, device_code=first["device_code"])).status_code == 200


async def test_a_device_may_have_a_name(site: Site, author: Person, person: Person, client: Client) -> None:
    """Asked for where several devices may have one app, optional; a redirect flow does not ask."""
    assert 'name="label"' not in (await open_consent(person, client)).text
    tv = await author.create_client(name="TV app", redirectUri=None)
    for label, name in (("Küche", "Küche"), ("", "TV app")):
        started = await site.http.post("/api/v1/oauth/device_authorization", data={"client_id": tv.client_id})
        codes = started.json()
        page = await open_page(person, f"/device?user_code={codes['user_code']}")
        assert (await press(person, page, "Accept", {"label": label})).status_code == 200
        grant = "urn:ietf:params:oauth:grant-type:device_code"
        given = await site.token(tv, grant_type=grant, device_code=codes["device_code"])
        assert given.json()["identifier"] == name
        await open_until(person, "/", f"<h3><bdi>{name}</bdi>")


@pytest.mark.parametrize("code", ["BBBB-BBBB", "&<>\"'", "%00", "x" * 500])
async def test_a_wrong_user_code_is_a_page(person: Person, code: str) -> None:
    """It says what to compare, and gives the code back as text or not at all."""
    page = await person.http.get(httpx.URL(person.site.url + "/device", params={"user_code": code}))
    assert page.status_code == 404
    assert "<>" not in page.text


async def test_a_mistyped_user_code_can_be_mended(person: Person) -> None:
    """The entry comes again with what was typed, and says beside the field what to compare."""
    page = await person.http.get("/device", params={"user_code": "bbbb-bbbb"})
    assert (page.status_code, title_of(page)) == (404, "Error: Connect a device · Latchkey")
    assert '<p class="wrong" id="user_code-wrong">This code is not known. Compare' in page.text
    assert 'value="bbbb-bbbb"' in page.text


@pytest.mark.spec("RFC 8628", "5.1", "Guessing user codes on the page is limited")
async def test_guessing_codes_is_slowed_down(person: Person) -> None:
    """429 as a page, with the time to wait (AC-56)."""
    page = await person.http.get("/device", params={"user_code": "BBBB-BBBB"})
    for _ in range(20):
        if page.status_code == 404:
            page = await person.http.get("/device", params={"user_code": "BBBB-BBBB"})
    assert (page.status_code, title_of(page)) == (429, "Too many codes · Latchkey")
    assert int(page.headers["Retry-After"]) >= 1
    assert f"Try again in {page.headers['Retry-After']} seconds." in page.text


async def assert_unavailable(redis_url: str) -> None:
    """503 with Retry-After within four seconds, and a way on; what needs nobody else still works."""
    port = free_port()
    settings = load_settings(
        {
            "LATCHKEY_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "LATCHKEY_REDIS_URL": redis_url,
            "LATCHKEY_SECRET": "s" * 32,
        }
    )
    cookies = {"latchkey_session": "A" * 43}
    token = CsrfTokens(settings.secrets).token(digest_of("A" * 43), f"revoke-key {'k' * 16}")
    form = {"csrf": token, "key_id": "k" * 16}
    async with (
        serving(create_app(settings), "127.0.0.1", port, drain_seconds=1),
        httpx.AsyncClient(
            base_url=settings.public_url, cookies=cookies, headers={"Origin": settings.origin}
        ) as http,
    ):
        for method, path in (
            ("GET", "/"),
            ("GET", "/oauth/request-auth?clientID=x"),
            ("GET", "/developer"),
            ("POST", "/keys/kkkkkkkkkkkkkkkk/revoke"),
        ):
            started = time.monotonic()
            answer = await http.request(method, path, data=form if method == "POST" else None)
            assert time.monotonic() - started < 12
            assert answer.status_code == 503, path
            assert int(answer.headers["Retry-After"]) >= 1
            assert title_of(answer) == "We will be right back · Latchkey"
            assert_guarded(answer)
        assert (await http.get("/login")).status_code == 200
        assert (await http.get("/livez")).status_code == 200


async def test_without_redis_every_page_says_so() -> None:
    """Nobody is taken for signed out because nobody could be asked."""
    await assert_unavailable(f"redis://127.0.0.1:{free_port()}/0")


async def test_without_auth_api_every_page_says_so(stores: Stores) -> None:
    """The bus is there, but nobody answers on it."""
    await assert_unavailable(stores.redis_url)
