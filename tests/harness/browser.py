"""Chromium as the machine has it, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from playwright.async_api import Browser, async_playwright

_NAMES: Final = (
    "chromium-headless-shell",  # the same engine without a window: the tests cost half as much with it
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


def find_chromium() -> str:
    """The path of a Chromium: LATCHKEY_TEST_CHROMIUM, or one on the PATH. Without one: skips, but fails in CI."""
    found = os.environ.get("LATCHKEY_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing = "no Chromium on this machine: install it (Debian: apt install chromium-headless-shell) or set LATCHKEY_TEST_CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """A browser; contexts and pages are the test's."""
    path = find_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()
