"""node-oidc-provider signs people in: the whole story, its answers spoilt one by one, and the provider gone."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import httpx
import pytest

from deploy.demo_app.browser import Browser, Page
from tests.harness.backends import new_folder
from tests.harness.site import Site
from tests.interop.providers.running import running_node_provider
from tests.interop.providers.story import (
    Desk,
    connect,
    identity_of,
    is_signed_in,
    running_desk,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]  # the first waits for the packages

SPOILT = {
    "nonce": "nonce is not that of this sign-in",
    "aud": "aud does not name this client",
    "iss": "iss is another issuer",
    "exp": "exp is missing or past",
    "none": "the algorithm 'none' is not believed",
    "HS256": "the algorithm 'HS256' is not believed",
    "signature": "the signature is wrong",
}
"""What becomes of the ID token → the cause in the log."""


async def log_in(browser: Browser, page: Page, name: str, stop_at: str) -> Page:
    """On its own pages: sign in, then agree to tell who one is."""
    page = await browser.press(page, "Sign-in", {"login": name, "password": "any"}, stop_at=stop_at)
    if "Continue" in [button.text for form in page.forms for button in form.buttons]:
        page = await browser.press(page, "Continue", stop_at=stop_at)
    return page


@pytest.fixture(scope="module")
def desk(run_directory: Path) -> Iterator[Desk]:
    """It and a Latchkey."""
    with running_desk(new_folder(run_directory), running_node_provider, log_in) as desk:
        yield desk


@pytest.fixture(scope="module")
async def site(desk: Desk) -> AsyncIterator[Site]:
    """That Latchkey."""
    async with Site.at(desk.url) as site:
        yield site


def act(desk: Desk, action: str) -> None:
    """Has the provider do something that no provider should."""
    with urlopen(Request(f"{desk.provider.issuer}/test/{action}", method="POST"), timeout=10):
        pass


def named() -> str:
    """Somebody whom nobody knows yet."""
    return f"zoe-{secrets.token_hex(4)}"


async def test_from_the_apps_link_to_a_key_of_the_providers_person(desk: Desk, site: Site) -> None:
    """Sign in there, consent here; a check names the person as the provider does."""
    name = named()

    _, key = await connect(desk, site, name)

    assert await identity_of(site, key) == (desk.provider.issuer, name)


@pytest.mark.parametrize(("fault", "cause"), SPOILT.items(), ids=SPOILT)
async def test_a_spoilt_token_signs_nobody_in(desk: Desk, fault: str, cause: str) -> None:
    """403 in plain words with a way on; the log, and only that, says why."""
    act(desk, f"fault/{fault}")
    before = len(desk.causes())
    try:
        async with desk.browser() as browser:
            page = await desk.sign_in(browser, named())
            assert not await is_signed_in(desk, browser)
    finally:
        act(desk, "fault/off")

    assert page.status == httpx.codes.FORBIDDEN
    assert "does not prove who you are" in page.html
    assert page.link("/login")
    (logged,) = desk.causes()[before:]
    assert logged.startswith(cause)
    assert cause not in page.html


async def test_an_answer_of_another_issuer_is_refused(desk: Desk) -> None:
    """Mixed up, or without the issuer that this provider always names (RFC 9207 §2.4)."""
    async with desk.browser() as browser:
        parts = urlsplit(await desk.callback(browser, named()))
        pairs = dict(pair.split("=", 1) for pair in parts.query.split("&"))
        del pairs["iss"]
        bare = "&".join("=".join(pair) for pair in pairs.items())
        for query in (f"{bare}&{urlencode({'iss': 'https://evil.example'})}", bare):
            before = len(desk.causes())
            page = await browser.open(urlunsplit(parts._replace(query=query)))
            assert page.status == httpx.codes.BAD_REQUEST
            assert "did not come from the login that you were sent to" in page.html
            assert "iss" in desk.causes()[before]
            assert not await is_signed_in(desk, browser)


async def test_an_answer_counts_once_and_in_its_own_browser(desk: Desk) -> None:
    """Replayed by somebody else, or after signing out, it signs nobody in; Back and reload go on."""
    async with desk.browser() as browser, desk.browser() as other:
        answer = await desk.callback(browser, named())
        before = len(desk.causes())

        stolen = await other.open(answer)
        first = await browser.open(answer)
        again = await browser.open(answer)
        await browser.call("DELETE", desk.url + "/api/v1/session")
        late = await browser.open(answer)

        assert [page.status for page in (stolen, first, again, late)] == [400, 200, 200, 400]
        assert "another browser" in stolen.html
        assert "was used already" in late.html
        assert desk.causes()[before:] == ["other_browser", "used"]
        assert not await is_signed_in(desk, browser)
        assert not await is_signed_in(desk, other)


async def test_the_providers_new_key_is_believed(desk: Desk, site: Site) -> None:
    """Without a restart, seconds after it was rotated."""
    act(desk, "rotate")

    async def comes_in() -> bool:
        async with desk.browser() as browser:
            await desk.sign_in(browser, named())
            return await is_signed_in(desk, browser)

    await until(comes_in, "signed in with the new key")
    _, key = await connect(desk, site, named())
    assert (await identity_of(site, key))[0] == desk.provider.issuer


async def test_signing_out_there_ends_the_session_here(desk: Desk, site: Site) -> None:
    """By its back-channel logout; the person's keys live on."""
    name = named()
    _, key = await connect(desk, site, name)
    async with desk.browser() as browser:
        await desk.sign_in(browser, name)
        assert await is_signed_in(desk, browser)

        page = await browser.open(str(desk.provider.metadata["end_session_endpoint"]))
        await browser.press(page, "Yes, sign me out")

        async def is_out() -> bool:
            return not await is_signed_in(desk, browser)

        await until(is_out, "signed out here")
    assert await identity_of(site, key) == (desk.provider.issuer, name)


async def test_with_the_provider_gone_all_but_signing_in_goes_on(desk: Desk, site: Site) -> None:
    """Checks, exchanges, revocations and standing sessions; signing in says when to try again."""
    client, key = await connect(desk, site, named())
    async with desk.browser() as browser, desk.browser() as stranger:
        await desk.sign_in(browser, named())
        way = (await stranger.open(desk.url + "/login")).link("/login/oidc")
        answer = await desk.callback(stranger, named())

        desk.provider.kill()

        code = await desk.code_for(browser, client)
        fresh = await site.exchange(client, code)
        assert fresh.status_code == httpx.codes.OK
        revoked = await site.http.post("/api/v1/oauth/revoke", data={"token": key}, auth=client.basic)
        assert revoked.status_code == httpx.codes.OK
        assert (await site.verify(key)).status_code == httpx.codes.UNAUTHORIZED
        assert (await site.verify(fresh.json()["access_token"])).status_code == httpx.codes.OK
        assert await is_signed_in(desk, browser)
        assert (await site.http.get("/readyz")).status_code == httpx.codes.OK
        page = await stranger.open(answer)
        assert page.status == httpx.codes.SERVICE_UNAVAILABLE
        assert "does not answer right now" in page.html
        assert page.link("/login")
        assert (await stranger.open(way, stop_at=desk.provider.issuer)).status in (303, 503)
