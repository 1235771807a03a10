"""The sample integrator in a browser: link, accept, use the key, take it back, see it refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from deploy.demo_app.app import create_demo
from deploy.demo_app.registration import CALLBACK_PATH, register
from deploy.embedded.ports import free_port
from shared.clock import SystemClock
from shared.web.server import serving
from tests.browser.walking import Walker
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
    await page.goto(demo)
    await walker.press("Use the key")
    await expect(page.get_by_role("status")).to_contain_text("The key was refused.")
