"""The Client File Flow in a browser: the file arrives in the answer itself, with and without JavaScript."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from playwright.async_api import expect

from tests.browser.walking import ShownClient, Walker
from tests.harness.site import Site

TEMPLATE = '{\n  "server": "é",\n  "key": "%%TACHI_KEY%%"\n}\n'


async def register_hook(walker: Walker) -> ShownClient:
    """A game hook that reads its key from a file."""
    return await walker.own_client("Fervidex", apiKeyFilename="fervidex.json", apiKeyFormat=TEMPLATE)


async def test_a_key_file_is_downloaded(site: Site, walker: Walker) -> None:
    """One click saves exactly the file; the key in it works; nothing more was asked of the server."""
    hook = await register_hook(walker)
    page = walker.page
    await page.goto(hook.file_link)
    await walker.press("Create key")
    await expect(page).to_have_title("Your key is ready · Latchkey")
    asked = len(walker.requests)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download fervidex.json").click()
    download = await downloading.value
    assert download.suggested_filename == "fervidex.json"
    content = await asyncio.to_thread(Path(await download.path()).read_text, encoding="utf-8")
    key = json.loads(content)["key"]
    assert content == TEMPLATE.replace("%%TACHI_KEY%%", key)
    assert await page.get_by_label("Or copy its content").input_value() == content
    assert [request.url for request in walker.requests[asked:] if not request.url.startswith("data:")] == []
    assert (await site.verify(key, "customise_score")).status_code == 200
    await walker.follow("Manage this key")
    await expect(page.get_by_role("heading", name="Key Fervidex")).to_be_visible()
    assert key not in await page.content()


async def test_reloading_makes_no_second_key(site: Site, walker: Walker) -> None:
    """The answer is shown once; coming back to the page asks anew. Enter after the key's name creates it."""
    hook = await register_hook(walker)
    page = walker.page
    await page.goto(hook.file_link)
    await page.get_by_label("Where will you use it?").press_sequentially("Attic\n")
    await expect(page).to_have_title("Your key is ready · Latchkey")
    await page.reload()
    await expect(page).to_have_title("You have already answered this · Latchkey")
    await walker.open_home(keys=1)


async def test_a_double_click_on_create_key(walker: Walker, *, script: bool) -> None:
    """With JavaScript the second click is swallowed; without it the browser may send both. One key either way."""
    hook = await register_hook(walker)
    page = walker.page
    await page.goto(hook.file_link)
    await page.get_by_role("button", name="Create key", exact=True).dblclick()
    await expect(page).to_have_title(
        re.compile("^Your key is ready" if script else "^Your key is ready|^You have already answered this")
    )
    await walker.open_home(keys=1)


async def test_declining_a_key_file(walker: Walker) -> None:
    """A page says that nothing was given."""
    hook = await register_hook(walker)
    await walker.page.goto(hook.file_link)
    await walker.press("Decline")
    await expect(walker.page.get_by_text("Nothing was given to the app.")).to_be_visible()


async def test_without_a_file_the_key_is_copied(site: Site, walker: Walker, *, script: bool) -> None:
    """A selectable field; with JavaScript also a button that says what it did."""
    client = await walker.own_client("A script")
    page = walker.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(client.file_link)
    await walker.press("Create key")
    field = page.get_by_label("Select all of it and copy it into A script")
    key = await field.input_value()
    assert (await site.verify(key)).status_code == 200
    await expect(page.get_by_role("link", name="Download")).to_have_count(0)
    await expect(field).not_to_be_editable()
    if script:
        await walker.press("Copy")
        await expect(page.get_by_role("status")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == key
