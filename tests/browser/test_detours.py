"""Ways that people really take: Back, a second tab, another page's link, a session that is over; each arrives."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewWalker
from tests.browser.integrator import Integrator
from tests.browser.walking import ShownClient, Walker
from tests.harness.site import Site

CONSENT = "Allow Epic Games? · Latchkey"
SIGN_IN = "Sign in · Latchkey"
WITH_SCRIPTS = pytest.mark.parametrize("script", [True], ids=["script"])
"""Where it is a script that does it."""


@pytest.fixture
async def client(site: Site, integrator: Integrator) -> ShownClient:
    """An app of somebody else, who has no browser open."""
    author = await site.sign_up()
    made = await author.create_client(redirectUris=[f"{integrator.http}/cb"])
    return ShownClient.of(site.url, made.document)


@pytest.fixture
async def visitor(walker: Walker) -> Walker:
    """Somebody with an account who is not signed in."""
    await walker.page.context.clear_cookies()
    return walker


async def accept(walker: Walker, integrator: Integrator) -> dict[str, str]:
    """Presses Accept; what the app is told."""
    await walker.press("Accept")
    arrival = await integrator.arrival()
    assert arrival["code"]
    await expect(walker.page).to_have_title("Arrived")
    return arrival


async def test_signing_in_twice_on_the_way(
    visitor: Walker, client: ShownClient, integrator: Integrator
) -> None:
    """Signed in, Back to the form, signed in again: the request each time, and Accept arrives."""
    page = visitor.page
    await page.goto(f"{client.consent_link}&context=42")
    await expect(page).to_have_title(SIGN_IN)
    form = page.url
    await visitor.sign_in()
    await expect(page).to_have_title(CONSENT)
    await page.go_back()
    if page.url == form and await page.title() == SIGN_IN:  # a browser may keep the page as it was
        await visitor.sign_in()
    await expect(page).to_have_title(CONSENT)
    assert (await accept(visitor, integrator))["context"] == "42"


async def test_signing_up_on_the_way(
    new_walker: NewWalker, client: ShownClient, integrator: Integrator, *, script: bool
) -> None:
    """By the link of the header, whose page leads on too."""
    newcomer = await new_walker(script=script)
    page = newcomer.page
    await page.goto(f"{client.consent_link}&context=42")
    await expect(page).to_have_title(SIGN_IN)
    await page.get_by_role("banner").get_by_role("link", name="Sign up").click()
    await newcomer.fill_sign_up()
    await expect(page).to_have_title(CONSENT)
    assert (await accept(newcomer, integrator))["context"] == "42"


async def test_two_links_in_two_tabs(visitor: Walker, client: ShownClient, integrator: Integrator) -> None:
    """Signed in in both; Accept in the first is accepted or asked anew, and arrives with its own context; so the second."""
    other = await visitor.new_tab()
    tabs = {"first": visitor, "second": other}
    for context, tab in tabs.items():
        await tab.page.goto(f"{client.consent_link}&context={context}")
    for tab in tabs.values():
        await tab.sign_in()
        await expect(tab.page).to_have_title(CONSENT)
    for context, tab in tabs.items():
        asked_at = tab.page.url
        await tab.press("Accept")
        await expect(tab.page).not_to_have_url(asked_at)
        if await tab.page.title() == CONSENT:
            await tab.press("Accept")
        assert (await integrator.arrival())["context"] == context
        await expect(tab.page).to_have_title("Arrived")


async def test_the_form_of_a_tab_that_waited(
    visitor: Walker, client: ShownClient, integrator: Integrator
) -> None:
    """Signed in elsewhere meanwhile: the sign-in page, loaded again, goes on at once."""
    page = visitor.page
    await page.goto(f"{client.consent_link}&context=42")
    await expect(page).to_have_title(SIGN_IN)
    other = await visitor.new_tab()
    await other.page.goto("/login")
    await other.sign_in()
    await expect(other.page.get_by_role("button", name="Sign out")).to_be_visible()
    await page.reload()
    await expect(page).to_have_title(CONSENT)
    assert (await accept(visitor, integrator))["context"] == "42"


async def test_accepting_after_the_session_has_ended(
    walker: Walker, client: ShownClient, integrator: Integrator
) -> None:
    """Nothing is decided; signing in leads to the request anew, and only a fresh Accept gives anything."""
    page = walker.page
    await page.goto(f"{client.consent_link}&context=42")
    await expect(page).to_have_title(CONSENT)
    other = await walker.new_tab()
    await other.page.goto("/")
    await other.press("Sign out")
    await expect(other.page.get_by_role("status")).to_have_text("You are signed out.")
    await walker.press("Accept")
    await expect(page).to_have_title(SIGN_IN)
    await walker.sign_in()
    await expect(page).to_have_title(CONSENT)
    assert integrator.arrivals == []
    assert (await accept(walker, integrator))["context"] == "42"


async def test_creating_a_key_after_the_session_has_ended(walker: Walker, site: Site) -> None:
    """The same for the file flow: no key, then the question anew."""
    client = await walker.own_client("A hook", apiKeyFilename="hook.json")
    page = walker.page
    await page.goto(client.file_link)
    other = await walker.new_tab()
    await other.page.goto("/")
    await other.press("Sign out")
    await expect(other.page.get_by_role("status")).to_have_text("You are signed out.")
    await walker.press("Create key")
    await expect(page).to_have_title(SIGN_IN)
    await walker.sign_in()
    await walker.press("Create key")
    await expect(page).to_have_title("Your key is ready · Latchkey")
    assert (
        await site.verify(await page.get_by_label("Or copy its content").input_value())
    ).status_code == 200
    await walker.open_home(keys=1)


async def test_a_device_code_in_full_width(site: Site, walker: Walker) -> None:
    """As a Japanese keyboard types it: the dash and each letter as wide as an ideograph."""
    client = await walker.own_client("TV app")
    started = await site.http.post("/api/v1/oauth/device_authorization", data={"client_id": client.client_id})
    code = started.json()["user_code"]
    page = walker.page
    await page.goto("/device")
    await page.get_by_label("Code shown on the device").fill(full_width(code))
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(code)).to_be_visible()
    await walker.press("Accept")
    await expect(page.get_by_role("heading", name="Done: return to your device")).to_be_visible()


def full_width(text: str) -> str:
    """The same characters at the width of ideographs (U+FF01 to U+FF5E)."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


@pytest.mark.parametrize("onward", ["claude://x", "com.example.app:/done"])
async def test_the_app_may_send_the_person_on_to_a_program(
    new_walker: NewWalker, integrator: Integrator, onward: str, *, script: bool
) -> None:
    """The callback on https answers with a program's own scheme: the browser goes there, whatever it is."""
    walker = await new_walker(script=script, ignore_https_errors=True)
    await walker.join()
    integrator.onward = onward
    client = await walker.own_client(redirectUris=[f"{integrator.https}/cb"])
    await walker.page.goto(client.consent_link)
    async with walker.page.expect_event("request", lambda request: request.url.startswith(onward)):
        await walker.press("Accept")
    assert (await integrator.arrival())["code"]


_ASK = """
async ([url, method, headers, body]) => {
  const answer = await fetch(url, {method, headers, body});
  return [answer.status, await answer.text()];
}
"""


@WITH_SCRIPTS
async def test_a_page_of_another_origin_uses_the_open_endpoints(
    site: Site, walker: Walker, client: ShownClient, integrator: Integrator
) -> None:
    """A browser-only program exchanges its code with headers of its libraries, and asks what its key is good for."""
    page = walker.page
    await page.goto(client.consent_link)
    code = (await accept(walker, integrator))["code"]
    assert page.url.startswith(integrator.http)

    form = f"grant_type=authorization_code&code={code}&client_id={client.client_id}&client_secret={client.secret}"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Requested-With": "XMLHttpRequest",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    status, body = await page.evaluate(_ASK, [f"{site.origin}/api/v1/oauth/token", "POST", headers, form])
    assert status == 200, body
    key = (await page.evaluate("JSON.parse", body))["access_token"]
    for path in ("status", "users/me"):
        asked = [f"{site.origin}/api/v1/{path}", "GET", {"Authorization": f"Bearer {key}"}, None]
        assert (await page.evaluate(_ASK, asked))[0] == 200

    # And nothing else is open: the browser keeps the answer from the page.
    closed = await page.evaluate(
        "url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'kept back')",
        f"{site.origin}/api/v1/keys",
    )
    assert closed == "kept back"
