"""People in Chromium, with and without JavaScript, and an integrator whose site they come back to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.integrator import Integrator, running_integrator
from tests.browser.walking import Walker
from tests.harness.browser import running_chromium
from tests.harness.stack import Stack

expect.set_options(timeout=15_000)  # a busy machine is no broken page

NewWalker = Callable[..., Awaitable[Walker]]


@pytest.fixture(scope="package")
async def chromium() -> AsyncIterator[Browser]:
    """A real browser for all tests of this folder; skips, but fails in CI, where there is none."""
    async with running_chromium() as browser:
        yield browser


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def script(request: pytest.FixtureRequest) -> bool:
    """Everything is walked twice: JavaScript on, and off."""
    return bool(request.param)


@pytest.fixture
async def new_walker(chromium: Browser, stack: Stack) -> AsyncIterator[NewWalker]:
    """Makes people with a browser each; `script=False` turns JavaScript off. None may meet a blocked resource."""
    walkers: list[Walker] = []

    async def new_walker(*, script: bool = True, **options: object) -> Walker:
        context: BrowserContext = await chromium.new_context(
            java_script_enabled=script,
            base_url=stack.url,
            **options,  # type: ignore[arg-type]
        )
        page: Page = await context.new_page()
        walkers.append(Walker(page, stack.url))
        return walkers[-1]

    yield new_walker
    for walker in walkers:
        await walker.page.context.close()
    for walker in walkers:
        walker.assert_nothing_was_blocked()


@pytest.fixture
async def walker(new_walker: NewWalker, *, script: bool) -> Walker:
    """A person with an account, signed in."""
    walker = await new_walker(script=script)
    await walker.join()
    return walker


@pytest.fixture
async def integrator() -> AsyncIterator[Integrator]:
    """A site on loopback, and another origin of the same people."""
    async with running_integrator() as integrator:
        yield integrator
