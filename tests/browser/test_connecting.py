"""A person connects an app, from the integrator's link to the key, and takes it back."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewWalker
from tests.browser.integrator import Integrator
from tests.browser.walking import Walker
from tests.harness.site import Client, Site


async def key_for(site: Site, client_id: str, secret: str, code: str) -> str:
    """What the integrator gets for the code."""
    answer = await site.exchange(Client({"clientID": client_id, "clientSecret": secret}), code)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def test_the_whole_story(
    site: Site, walker: Walker, new_walker: NewWalker, integrator: Integrator, *, script: bool
) -> None:
    """Register, follow the seed's link, sign in on the way, accept, use the key, revoke it, see it refused."""
    client = await walker.register_client(redirect_uris=[f"{integrator.http}/cb"])
    person = await new_walker(script=script)
    await person.sign_up()
    await person.press("Sign out")
    page = person.page
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")

    await page.goto(f"{client.consent_link}&context=42")
    await expect(page).to_have_title("Sign in · Latchkey")
    await person.sign_in()
    await expect(page).to_have_title("Allow Epic Games? · Latchkey")
    await expect(page.get_by_text(integrator.http.removeprefix("http://"))).to_be_visible()
    await person.press("Accept")
    arrival = await integrator.arrival()
    await expect(page).to_have_title("Arrived")
    assert (arrival["context"], arrival["iss"]) == ("42", site.origin)
    assert "Referer" not in integrator.headers[-1]
    key = await key_for(site, client.client_id, client.secret, arrival["code"])
    assert (await site.verify(key, "customise_score")).status_code == 200

    await person.open_home(keys=1)
    await expect(page.get_by_role("heading", name="Epic Games")).to_have_count(2)
    await person.follow("Revoke")
    await expect(page.get_by_text("What breaks:")).to_be_visible()
    await person.press("Revoke")
    await expect(page.get_by_role("status")).to_contain_text("The key is revoked.")
    assert (await site.verify(key)).status_code == 401


async def test_declining(site: Site, walker: Walker, integrator: Integrator) -> None:
    """The app is told, and nothing has access afterwards."""
    client = await walker.own_client(redirectUris=[f"{integrator.http}/cb"])
    await walker.page.goto(f"{client.consent_link}&state=a%20b")
    await walker.press("Decline")
    arrival = await integrator.arrival()
    assert arrival == {"error": "access_denied", "state": "a b", "iss": site.origin}
    await walker.page.goto("/")
    await expect(walker.page.get_by_text("No app has access to your account.")).to_be_visible()


async def test_disconnecting_an_app(site: Site, walker: Walker, integrator: Integrator) -> None:
    """All its keys are dead, and its line is gone."""
    client = await walker.own_client(redirectUris=[f"{integrator.http}/cb"])
    await walker.page.goto(client.consent_link)
    await walker.press("Accept")
    key = await key_for(site, client.client_id, client.secret, (await integrator.arrival())["code"])
    await walker.page.goto("/")
    await walker.follow("Disconnect")
    await walker.press("Disconnect")
    await expect(walker.page.get_by_role("status")).to_contain_text("The app is disconnected.")
    assert (await site.verify(key)).status_code == 401


@pytest.mark.parametrize("surface", ["http", "https"])
async def test_accept_reaches_the_app(
    new_walker: NewWalker, integrator: Integrator, surface: str, *, script: bool
) -> None:
    """Under the shipped policy the browser arrives, on https and on loopback with a port of the request (AC-32)."""
    walker = await new_walker(script=script, ignore_https_errors=True)
    await walker.join()
    origin = integrator.https if surface == "https" else integrator.http
    registered = f"{origin}/cb" if surface == "https" else "http://127.0.0.1/cb"
    client = await walker.own_client(redirectUris=[registered])
    await walker.page.goto(f"{client.consent_link}&redirectUri={origin}/cb")
    await walker.press("Accept")
    assert (await integrator.arrival())["code"]
    await expect(walker.page).to_have_title("Arrived")
    assert walker.page.url.startswith(f"{origin}/cb?code=")


async def test_accept_reaches_a_private_scheme(walker: Walker) -> None:
    """The browser hands the code to the app of the scheme; the policy does not stand in the way (AC-32)."""
    client = await walker.own_client(redirectUris=["com.example.app:/cb"])
    await walker.page.goto(client.consent_link)
    async with walker.page.expect_event(
        "request", lambda request: request.url.startswith("com.example.app:")
    ) as sent:
        await walker.press("Accept")
    assert (await sent.value).url.startswith("com.example.app:/cb?code=")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_app_may_send_the_person_on(
    new_walker: NewWalker, integrator: Integrator, scheme: str, *, script: bool
) -> None:
    """Browsers would apply our policy to the app's own redirects too: callbacks lead on to other hosts and schemes."""
    walker = await new_walker(script=script, ignore_https_errors=True)
    await walker.join()
    onward = integrator.http if scheme == "https" else integrator.other
    integrator.onward = f"{onward}/home"
    client = await walker.own_client(redirectUris=[f"{getattr(integrator, scheme)}/cb"])
    await walker.page.goto(client.consent_link)
    await walker.press("Accept")
    await expect(walker.page).to_have_title("Home")
    assert (await integrator.arrival())["code"]


async def test_a_double_click_on_accept(site: Site, walker: Walker, integrator: Integrator) -> None:
    """The person arrives, and what the app then holds works (AC-33)."""
    client = await walker.own_client(redirectUris=[f"{integrator.http}/cb"])
    await walker.page.goto(client.consent_link)
    await walker.page.get_by_role("button", name="Accept", exact=True).dblclick()
    await expect(walker.page).to_have_title("Arrived")
    await key_for(site, client.client_id, client.secret, integrator.arrivals[-1]["code"])


async def test_going_back_after_accepting(walker: Walker, integrator: Integrator) -> None:
    """The same page again asks again; the old answer is not sent twice."""
    client = await walker.own_client(redirectUris=[f"{integrator.http}/cb"])
    await walker.page.goto(client.consent_link)
    await walker.press("Accept")
    await integrator.arrival()
    await expect(walker.page).to_have_title("Arrived")  # the browser has it too, not only the site
    await walker.page.go_back()
    await expect(walker.page).to_have_title("Allow Epic Games? · Latchkey")
    await walker.press("Decline")
    assert (await integrator.arrival())["error"] == "access_denied"


async def test_switching_accounts(walker: Walker, new_walker: NewWalker, integrator: Integrator) -> None:
    """Somebody else at the same computer answers the same request."""
    client = await walker.own_client(redirectUris=[f"{integrator.http}/cb"])
    other = await new_walker()
    await other.join()
    await walker.page.goto(f"{client.consent_link}&state=kept")
    await walker.press("Not you? Switch account")
    walker.username = other.username
    await walker.sign_in()
    await expect(walker.page.get_by_text(f"Signed in as {other.username}")).to_be_visible()
    await walker.press("Accept")
    assert (await integrator.arrival())["state"] == "kept"


async def test_nothing_private_is_left_in_the_browser(walker: Walker) -> None:
    """After signing out, Back asks the server, which knows nobody."""
    await walker.page.goto("/developer")
    await walker.press("Sign out")
    await expect(walker.page.get_by_role("status")).to_have_text("You are signed out.")
    await walker.page.go_back()
    await expect(walker.page.get_by_text(walker.username)).to_have_count(0)
