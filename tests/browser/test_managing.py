"""A person turns a key down, and an author runs a client, in a browser."""

from __future__ import annotations

from playwright.async_api import expect

from services.auth_api.oauth.redirect_uri import fault_of_redirect_uri
from tests.browser.conftest import NewWalker
from tests.browser.integrator import Integrator
from tests.browser.walking import Walker
from tests.harness.site import Site
from tests.unit.oauth.test_redirect_uri import ALLOWED, FORBIDDEN, FOREIGN, RESERVED


async def make_key(walker: Walker) -> str:
    """A key by the file flow, on its page afterwards."""
    client = await walker.own_client("A script", requestedPermissions=["customise_score", "delete_score"])
    await walker.page.goto(client.file_link)
    await walker.press("Create key")
    key = await walker.page.get_by_role("textbox").input_value()
    await walker.follow("Manage this key")
    await expect(walker.page.get_by_role("heading", name="Key A script")).to_be_visible()
    return key


async def test_turning_a_key_down(site: Site, walker: Walker) -> None:
    """Pause, resume, narrow, rename, set a last day, replace: each with a word about what was done."""
    key = await make_key(walker)
    page = walker.page
    await walker.press("Pause")
    await expect(page.get_by_role("status")).to_contain_text("The key is paused.")
    assert (await site.verify(key)).status_code == 401
    await walker.press("Resume")
    await expect(page.get_by_role("status")).to_contain_text("The key works again.")
    await page.get_by_role("checkbox", name="Delete scores").uncheck()
    await walker.press("Keep only the ticked ones")
    await expect(page.get_by_role("status")).to_contain_text("The key may do less now.")
    assert (await site.verify(key, "delete_score")).status_code == 403
    await page.get_by_label("Name", exact=True).fill("My laptop")
    await walker.press("Rename")
    await expect(page).to_have_title("Key My laptop · Latchkey")
    await page.get_by_label("Last day").fill("2099-01-31")
    await walker.press("Set the last day")
    await expect(page.get_by_text("2099-01-31 23:59 UTC")).to_be_visible()
    await walker.press("Replace the key")
    await expect(page).to_have_title("Your new key · Latchkey")
    fresh = await page.get_by_role("textbox").input_value()
    assert (await site.verify(key)).status_code == 401
    assert (await site.verify(fresh, "customise_score")).status_code == 200


async def test_a_client_from_birth_to_end(walker: Walker, integrator: Integrator) -> None:
    """Wrong fields are led to, the secret is reset, the client edited and deleted."""
    page = walker.page
    await page.goto("/developer/clients/new")
    await page.get_by_label("Name", exact=True).fill("Epic Games")
    await page.get_by_label("Redirect addresses").fill("http://evil.example/cb")
    await walker.press("Register")
    alert = page.get_by_role("alert")
    await expect(alert).to_be_focused()
    await expect(alert.get_by_role("link")).to_have_count(2)
    await alert.get_by_role("link").first.click()
    await expect(page.get_by_label("Redirect addresses")).to_be_focused()
    client = await walker.register_client(redirect_uris=[f"{integrator.http}/cb"])
    await walker.follow("Go to the client")
    await expect(page.get_by_text("Nobody has tried yet.")).to_be_visible()
    assert client.secret not in await page.content()
    await page.goto(client.consent_link)
    await walker.press("Decline")
    await integrator.arrival()
    await page.goto(f"/developer/clients/{client.client_id}")
    await expect(page.get_by_role("cell", name="access_denied")).to_be_visible()
    await page.get_by_label("The old secret stops working").select_option("after one hour")
    await walker.press("Reset secret")
    await expect(page.get_by_text("stops working after one hour")).to_be_visible()
    await walker.follow("Go to the client")
    await walker.follow("Edit")
    await page.get_by_label("Name", exact=True).fill("Epic Games Two")
    await walker.press("Save")
    await expect(page).to_have_title("Epic Games Two · Latchkey")
    await walker.follow("Delete this client")
    await walker.press("Delete for good")
    await expect(page.get_by_role("status")).to_contain_text("The client is deleted.")


async def test_a_device_is_connected(site: Site, walker: Walker) -> None:
    """The code is typed as people type, shown again, and only Accept connects."""
    client = await walker.own_client("TV app")
    start = await site.http.post("/api/v1/oauth/device_authorization", data={"client_id": client.client_id})
    code = start.json()["user_code"]
    page = walker.page
    await page.goto("/device")
    await expect(page.get_by_label("Code shown on the device")).to_be_focused()
    await page.keyboard.type(code.lower().replace("-", " "))
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(code)).to_be_visible()
    await expect(page.get_by_text("If somebody sent you this code")).to_be_visible()
    await walker.press("Accept")
    await expect(page.get_by_role("heading", name="Done: return to your device")).to_be_visible()


async def test_redirect_addresses_are_checked_while_typing(new_walker: NewWalker) -> None:
    """In the words of registration, whose rules the script repeats one for one; what is mended is not wrong any more."""
    walker = await new_walker()
    await walker.join()
    page = walker.page
    await page.goto("/developer/clients/new")
    field = page.get_by_label("Redirect addresses")
    await field.fill("https://a.example/cb\n\nhttp://evil.example/cb\nhttps://a.example/cb")
    said = page.locator("#redirect_uris-said")
    await expect(said).to_have_text(
        "Redirect address 2 may be http only on 127.0.0.1, [::1] or localhost; use https."
        " Redirect address 3 is there twice."
    )
    await expect(field).to_have_attribute("aria-invalid", "true")
    await field.fill("https://a.example/cb")
    await expect(said).to_have_text("This address can be registered.")
    await expect(field).not_to_have_attribute("aria-invalid", "true")
    queries = [f"https://client.example/cb?{query}" for query in RESERVED]
    uris = [*ALLOWED, *(uri for uri, _ in FORBIDDEN), *queries, *FOREIGN]
    assert await page.evaluate("uris => uris.map(faultOf)", uris) == [
        fault_of_redirect_uri(uri) for uri in uris
    ]
