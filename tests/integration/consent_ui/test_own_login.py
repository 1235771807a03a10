"""The way to a login elsewhere: what the sign-in page names and offers, and when it is passed over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.web.redirects import sign_target
from tests.harness.site import Person
from tests.harness.stack import Stack, running_stack, serving_stack
from tests.harness.stores import Servers
from tests.integration.consent_ui.visits import open_page, press

SITE_LOGIN = {"LOGIN_URL": "https://site.example/login", "LOGIN_NAME": "Site & Sons"}
PROVIDER = {
    "OIDC_ISSUER": "https://provider.example",
    "OIDC_CLIENT_ID": "latchkey",
    "OIDC_NAME": "Provider",
}


@pytest.fixture(scope="module")
async def with_passwords(servers: Servers) -> AsyncIterator[Stack]:
    """A site where one may have an account of ours, or come by the site's login."""
    async with running_stack(servers, SITE_LOGIN) as stack:
        yield stack


@pytest.fixture(scope="module")
async def one_way(with_passwords: Stack) -> AsyncIterator[Stack]:
    """The same people, and no way in but the site's login."""
    async with serving_stack(with_passwords.stores, {**SITE_LOGIN, "LOCAL_ACCOUNTS": "off"}) as stack:
        yield stack


def continued(stack: Stack, target: str) -> str:
    """Where a page sends somebody who has to sign in first."""
    return f"/login?continue={sign_target(stack.settings.secrets, target)}"


async def test_the_sign_in_page_names_the_app_that_waits(with_passwords: Stack) -> None:
    """On each way to a consent page; markup in its name stays text."""
    site = with_passwords.site
    client = await (await site.sign_up()).create_client(name="Score <b>Bot")
    visitor = await site.visitor()

    for path in (
        f"/oauth/request-auth?clientID={client.client_id}&state=SECRET",
        f"/oauth/authorize?response_type=code&client_id={client.client_id}",
        f"/client-file-flow/{client.client_id}",
    ):
        sent = await visitor.http.get(path)
        assert sent.status_code == 303
        page = await open_page(visitor, sent.headers["Location"])
        assert "Score &lt;b&gt;Bot" in page.text
        assert "SECRET" not in page.text
        sign_up = await open_page(visitor, sent.headers["Location"].replace("/login", "/sign-up"))
        assert "Score &lt;b&gt;Bot" in sign_up.text


@pytest.mark.parametrize(
    "target", ["/developer", "/oauth/authorize", "/oauth/authorize?client_id=nobody", "/device?client_id=x"]
)
async def test_where_no_app_waits_none_is_named(with_passwords: Stack, target: str) -> None:
    """Nor one that does not exist."""
    visitor = await with_passwords.site.visitor()

    page = await open_page(visitor, continued(with_passwords, target))

    assert "waits" not in page.text


async def test_the_page_offers_what_is_configured(with_passwords: Stack, servers: Servers) -> None:
    """The site's login under its name, beside the password; with another way more, that too."""
    visitor = await with_passwords.site.visitor()
    page = await open_page(visitor, continued(with_passwords, "/developer"))
    assert "Sign in with Site &amp; Sons" in page.text
    assert 'name="password"' in page.text
    both = {**SITE_LOGIN, **PROVIDER, "LOCAL_ACCOUNTS": "off"}
    async with serving_stack(with_passwords.stores, both) as stack:
        page = await open_page(await stack.site.visitor(), continued(stack, "/developer"))
    assert "Sign in with Site &amp; Sons" in page.text
    assert "Sign in with Provider" in page.text
    assert "/sign-up" not in page.text


async def test_the_one_way_is_taken_at_once(one_way: Stack) -> None:
    """With where the person was going."""
    visitor = await one_way.site.visitor()

    sent = await visitor.http.get(continued(one_way, "/developer"))
    plain = await visitor.http.get("/login")

    assert (sent.status_code, plain.status_code) == (303, 303)
    assert urlsplit(sent.headers["Location"]).path == "/login/site"
    assert parse_qs(urlsplit(sent.headers["Location"]).query).keys() == {"continue"}
    assert plain.headers["Location"] == "/login/site"


async def test_after_a_failure_the_one_way_waits(one_way: Stack) -> None:
    """Else the person would go round in circles."""
    visitor = await one_way.site.visitor()

    page = await open_page(visitor, continued(one_way, "/developer") + "&error=again")

    assert "You were not signed in. Try again." in page.text
    assert 'href="/login/site?continue=' in page.text


async def signed_in(with_passwords: Stack, one_way: Stack) -> Person:
    """Somebody with a session on both."""
    person = await with_passwords.site.sign_up()
    elsewhere = await one_way.site.visitor()
    elsewhere.http.cookies.update(person.http.cookies)
    return elsewhere


async def test_after_signing_out_nobody_is_signed_in_again(with_passwords: Stack, one_way: Stack) -> None:
    """By the button of every page, by the one that switches the account, and by a button pressed twice."""
    client = await (await with_passwords.site.sign_up()).create_client()
    person = await signed_in(with_passwords, one_way)
    home = await open_page(person, "/")
    left = await press(person, home, "Sign out")
    assert "You are signed out." in (await open_page(person, left.headers["Location"])).text
    person.http.cookies.clear()
    twice = await press(person, home, "Sign out")
    assert "You are signed out." in (await open_page(person, twice.headers["Location"])).text

    person = await signed_in(with_passwords, one_way)
    consent = await open_page(person, f"/oauth/request-auth?clientID={client.client_id}")
    switched = await press(person, consent, "Not you? Switch account")
    page = await open_page(person, switched.headers["Location"])
    assert "You are signed out." in page.text
    assert "Epic Games" in page.text
    assert 'href="/login/site?continue=' in page.text


async def test_without_passwords_no_page_asks_for_one(one_way: Stack) -> None:
    """Neither to sign in nor to sign up, and the REST interface takes none."""
    visitor = await one_way.site.visitor()

    for path in ("/", "/login", "/login?error=again", "/sign-up", "/sign-up?error=taken", "/nothing"):
        page = await visitor.http.get(path)
        assert page.status_code in (200, 303, 404)
        assert '"password"' not in page.text
        assert 'href="/sign-up' not in page.text
    body = {"username": "anna-123", "password": "correct horse battery"}
    made = await visitor.http.post("/api/v1/users", json=body)
    session = await visitor.http.post("/api/v1/session", json=body)
    assert (made.status_code, session.status_code) == (403, 403)
