"""An author sets up a webhook in a browser, sees it fail, and mends it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect
from standardwebhooks import Webhook

from tests.browser.walking import Walker
from tests.harness.stack import Stack, running_stack
from tests.harness.stores import Servers
from tests.harness.tls import Authority, make_authority
from tests.harness.webhooks import Receiver, answering, receiving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of the receiver's certificate."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
async def stack(servers: Servers, authority: Authority) -> AsyncIterator[Stack]:
    """Services that may call loopback and believe the receiver."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("SSL_CERT_FILE", str(authority.certificate))
        async with running_stack(servers, {"PRIVATE_TARGETS": "on"}) as stack:
            yield stack


@pytest.fixture
async def receiver(authority: Authority) -> AsyncIterator[Receiver]:
    """The author's own server."""
    async with receiving(authority) as receiver:
        yield receiver


async def test_a_webhook_from_its_first_test_to_its_repair(walker: Walker, receiver: Receiver) -> None:
    """The address set, the secret taken, a test received, the keys rotated, disabled by a 410 and turned on again."""
    page = walker.page
    client = await walker.own_client("Epic Games")
    await page.goto(f"/developer/clients/{client.client_id}")
    await walker.follow("Deliveries and signing keys")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Webhooks of Epic Games")
    await walker.follow("Set an address")
    if not await page.get_by_label("Webhook address").is_visible():
        await page.get_by_text("Key file and webhook").click()
    await page.get_by_label("Webhook address").fill(f"{receiver.url}/hook")
    await walker.press("Save")
    await walker.follow("Deliveries and signing keys")

    await expect(page.get_by_label("Secret, version 1")).to_have_count(0)
    await walker.follow("Show the secret")
    secret = await page.get_by_label("Secret, version 1").input_value()
    await walker.follow("Hide the secret")
    await expect(page.get_by_label("Public key, version 1")).to_be_visible()
    await walker.press("Send a test event")
    await expect(page.get_by_role("status").first).to_contain_text("The test event is on its way.")
    (heard,) = await receiver.wait_for(1)
    Webhook(secret).verify(heard.body, dict(heard.headers))
    await shown(walker, "delivered")

    await page.get_by_label("The old keys stop signing").select_option("after one hour")
    await walker.press("Rotate the keys")
    await expect(page.get_by_role("heading", name="Version 2 newest")).to_be_visible()
    await page.get_by_role("button", name="Send webhook.test").first.click()
    _, again = await receiver.wait_for(2)
    assert again.webhook_id == heard.webhook_id
    Webhook(secret).verify(again.body, dict(again.headers))

    receiver.answer = answering(410)
    await walker.press("Send a test event")
    await shown(walker, "disabled")
    await page.goto("/")
    await walker.follow("See why, and turn them on again")
    await expect(page.get_by_text("It answered 410 Gone.")).to_be_visible()
    receiver.answer = answering(204)
    await walker.press("Turn it on again")
    await expect(page.get_by_role("status").first).to_contain_text("The address is tried again from now on.")
    await walker.press("Send a test event")
    await receiver.wait_for(4)


async def shown(walker: Walker, word: str) -> None:
    """The page, reloaded until one of its tags says so."""
    while not await walker.page.locator(".tag", has_text=word).count():
        await walker.page.reload()
