"""People of a site with its own login, in Chromium: from an app's link through the site's login to a key."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Page, expect

from deploy.demo_app.own_login import PASSWORD, create_hall
from deploy.embedded.ports import free_port
from shared.web.server import serving
from tests.browser.integrator import Integrator
from tests.browser.test_looks import _CONTRAST, _SIDEWAYS, _SMALL_TARGETS
from tests.browser.walking import Walker
from tests.harness.processes import command
from tests.harness.site import Client
from tests.harness.stack import Stack, serving_stack
from tests.harness.stores import Servers, fresh_stores

HALL_LOGIN = re.compile(r"^Sign in · Rhythm Hall$")


@dataclass(slots=True)
class Place:
    """A site with its own users, a Latchkey that knows no other way in, and an app's client."""

    stack: Stack
    hall: str
    client: Client
    chromium: Browser
    walkers: list[Walker]

    async def walker(self, *, script: bool, **options: object) -> Walker:
        """Somebody with a browser, signed in nowhere."""
        context = await self.chromium.new_context(
            java_script_enabled=script,
            base_url=self.stack.url,
            **options,  # type: ignore[arg-type]
        )
        self.walkers.append(Walker(await context.new_page(), self.stack.url))
        return self.walkers[-1]

    def link(self, **query: str) -> str:
        """The app's link."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return f"/oauth/request-auth?clientID={self.client.client_id}{more}"


async def log_in(page: Page, name: str = "zoe") -> None:
    """At the site's own login."""
    await expect(page).to_have_title(HALL_LOGIN)
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()


@dataclass(frozen=True, slots=True)
class Sites:
    """What the tests of this file share: Latchkey, with and without accounts of its own, and the site."""

    stack: Stack
    with_passwords: Stack
    hall: str


@pytest.fixture(scope="module")
async def sites(servers: Servers) -> AsyncIterator[Sites]:
    """All of them, running."""
    hall = f"http://127.0.0.1:{free_port()}"
    settings = {"LOGIN_URL": f"{hall}/login", "LOGIN_NAME": "Rhythm Hall"}
    async with AsyncExitStack() as running:
        stores = await running.enter_async_context(fresh_stores(servers))
        with_passwords = await running.enter_async_context(serving_stack(stores, settings))
        without = {**settings, "LOCAL_ACCOUNTS": "off"}
        stack = await running.enter_async_context(serving_stack(stores, without))
        given = {**stores.environment(), "LATCHKEY_PUBLIC_URL": stack.url}
        made = command("service-key", "create", "--name", "hall", "--permission", "sign-in", environ=given)
        app = create_hall(stack.url, stack.url, made.strip(), origin=hall)
        port = int(hall.rpartition(":")[2])
        await running.enter_async_context(serving(app, "127.0.0.1", port, drain_seconds=1))
        yield Sites(stack, with_passwords, hall)


@pytest.fixture
async def place(chromium: Browser, sites: Sites, integrator: Integrator) -> AsyncIterator[Place]:
    """They, and a new client, to which nobody has said yes; no policy may have stood in a browser's way."""
    author = await sites.with_passwords.site.sign_up()
    client = await author.create_client(redirectUri=f"{integrator.http}/cb")
    place = Place(sites.stack, sites.hall, client, chromium, [])
    yield place
    for walker in place.walkers:
        await walker.page.context.close()
    for walker in place.walkers:
        walker.assert_nothing_was_blocked()


async def test_from_the_apps_link_to_the_key(place: Place, integrator: Integrator, *, script: bool) -> None:
    """One click there, the site's own login, consent, and a key that names the person as the site does."""
    walker = await place.walker(script=script)
    page = walker.page

    await page.goto(place.link(state="kept"))
    await expect(page.get_by_text("Epic Games waits for you.")).to_be_visible()
    await log_in(page)
    await expect(page).to_have_title("Allow Epic Games? · Latchkey")
    await expect(page.get_by_text("Signed in as Zoë Ünal")).to_be_visible()
    await walker.press("Accept")
    arrival = await integrator.arrival()
    assert arrival["state"] == "kept"
    site = place.stack.site
    key = (await site.exchange(place.client, arrival["code"])).json()["access_token"]
    checked = await site.verify(key, "customise_score")
    assert checked.headers["X-Latchkey-External-User"] == "1001"


async def test_turning_back_tells_the_app(place: Place, integrator: Integrator, *, script: bool) -> None:
    """The site's refusal is the app's ``access_denied``."""
    walker = await place.walker(script=script)

    await walker.page.goto(place.link(state="kept"))
    await walker.page.get_by_role("button", name="Cancel").click()

    arrival = await integrator.arrival()
    assert (arrival["error"], arrival["state"]) == ("access_denied", "kept")


async def test_two_tabs_that_begin_at_once_both_arrive(place: Place, *, script: bool) -> None:
    """Whichever signs in first; the other is let in by the site that knows the person by then."""
    walker = await place.walker(script=script)
    first, second = walker.page, await walker.page.context.new_page()
    await first.goto(place.link(state="one"))
    await second.goto(place.link(state="two"))

    for page in (second, first):
        await log_in(page)
        await expect(page).to_have_title("Allow Epic Games? · Latchkey")

    for page, state in ((first, "one"), (second, "two")):
        await page.reload()
        await expect(page).to_have_title("Allow Epic Games? · Latchkey")
        assert f"state={state}" in page.url


async def test_back_and_reload_go_on(place: Place, *, script: bool) -> None:
    """Back to the site's login, and the arrival opened again: the person is at the consent page each time."""
    walker = await place.walker(script=script)
    page = walker.page
    arrivals: list[str] = []
    page.on("request", lambda request: arrivals.append(request.url))
    await page.goto(place.link())
    await log_in(page)
    await expect(page).to_have_title("Allow Epic Games? · Latchkey")

    (arrival,) = [url for url in arrivals if "/login/site/callback" in url]
    await page.goto(arrival)
    await expect(page).to_have_title("Allow Epic Games? · Latchkey")
    await page.go_back()
    await page.go_back()
    assert "/login" in page.url or "/oauth/" in page.url
    await page.goto(place.link())
    await expect(page).to_have_title("Allow Epic Games? · Latchkey")


async def test_signing_out_stays_signed_out(place: Place, *, script: bool) -> None:
    """Although the site still knows the person; the way back in is one click."""
    walker = await place.walker(script=script)
    page = walker.page
    await page.goto("/login")
    await log_in(page)
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()

    await walker.press("Sign out")
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")
    await page.goto(place.link())
    await expect(page).to_have_title("Allow Epic Games? · Latchkey")
    await walker.press("Not you? Switch account")
    await expect(page).to_have_title("Sign in · Latchkey")
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")
    await walker.follow("Sign in with Rhythm Hall")
    await expect(page).to_have_title("Allow Epic Games? · Latchkey")


async def test_no_page_asks_for_a_password(place: Place, *, script: bool) -> None:
    """Where the site keeps the accounts."""
    walker = await place.walker(script=script)

    for path in ("/", "/login?error=again", "/sign-up?error=taken", "/login?done=signed-out"):
        await walker.page.goto(path)
        await expect(walker.page.locator('input[type="password"], a[href^="/sign-up"]')).to_have_count(0)


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark"}])
async def test_a_sign_in_that_failed_can_be_read(place: Place, options: dict[str, str]) -> None:
    """Narrow, light and dark: nothing sideways, nothing faint or small, one heading, and a way on that works."""
    walker = await place.walker(script=False, viewport={"width": 320, "height": 640}, **options)
    page = walker.page

    answer = await page.goto("/login/site/callback?login_challenge=x&login_verifier=y")

    assert answer is not None
    assert answer.status == 400
    reader = await place.walker(script=True, viewport={"width": 320, "height": 640}, **options)
    await reader.page.goto(page.url)
    for measured, good in ((_SIDEWAYS, 0), (_SMALL_TARGETS, []), (_CONTRAST, [])):
        assert await reader.page.evaluate(measured) == good
    await expect(page.get_by_role("heading", level=1)).to_have_text("That did not work")
    await walker.follow("Sign in again")
    await expect(page.get_by_text("You were not signed in. Try again.").first).to_be_visible()
    await walker.follow("Sign in with Rhythm Hall")
    await log_in(page, "max")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
