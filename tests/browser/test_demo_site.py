"""The sample integrator in a browser: link, accept, use the key, take it back, see it refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from deploy.demo_app.app import create_demo
from deploy.demo_app.registration import CALLBACK_PATH, register
from deploy.embedded.ports import free_port
from shared.clock import SystemClock
from shared.web.server import serving
from tests.browser.walking import Walker
from tests.harness.site import Site
from tests.harness.stack import Stack


@pytest.fixture
async def demo(stack: Stack, tmp_path: Path) -> AsyncIterator[str]:
    """The site, registered with the services of this module; its address."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    registration = await register(stack.url, stack.url, origin + CALLBACK_PATH, tmp_path / "demo.json")
    app = create_demo(stack.url, registration, origin=origin, clock=SystemClock())
    async with serving(app, "127.0.0.1", port, drain_seconds=1):
        yield origin


async def test_a_person_links_the_demo(walker: Walker, demo: str) -> None:
    """The demo receives the code, swaps it, uses the key; after Revoke the key is refused."""
    page = walker.page
    await page.goto(demo)
    await walker.follow("Link your account")
    await expect(page).to_have_title("Allow Epic Games? · Latchkey")
    await walker.press("Accept")
    await expect(page.get_by_role("heading", name=f"Linked as {walker.username}")).to_be_visible()
    await walker.press("Use the key")
    await expect(page.get_by_role("status")).to_contain_text("The key works.")
    await walker.open_home(keys=1)
    await walker.follow("Revoke")
    await walker.press("Revoke")
    await expect(page.get_by_role("status")).to_contain_text("The key is revoked.")
    await page.goto(demo)
    await walker.press("Use the key")
    await expect(page.get_by_role("status")).to_contain_text("The key was refused.")


@pytest.fixture
async def other_site() -> AsyncIterator[str]:
    """A page of somebody else's."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text="<title>Another site</title>", content_type="text/html")

    app, port = web.Application(), free_port()
    app.router.add_get("/", show)
    async with serving(app, "127.0.0.1", port, drain_seconds=1):
        yield f"http://127.0.0.1:{port}/"


async def test_a_page_of_another_site_calls_its_api(
    chromium: Browser, stack: Stack, demo: str, other_site: str
) -> None:
    """The browser asks first, without the key; then the script reads what the API answers."""
    async with Site.at(stack.url) as site:
        key = (await (await site.sign_up()).create_key("scripted", ["customise_score"]))["token"]
    page = await chromium.new_page()
    try:
        await page.goto(other_site)
        ask = """([url, key]) => fetch(url, {headers: {Authorization: `Bearer ${key}`}})
            .then(async answer => [answer.status, (await answer.text())])"""
        for sent, status, said in ((key, 200, "Freedom Dive"), ("wrong", 401, "not good")):
            answer = await page.evaluate(ask, [f"{demo}/api/scores", sent])
            assert answer[0] == status
            assert said in answer[1]
    finally:
        await page.close()
