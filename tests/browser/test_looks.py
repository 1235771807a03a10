"""What everybody needs of a page: it fits, it can be used by keyboard, it stays light, strangers' texts stay text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewWalker
from tests.browser.integrator import Integrator
from tests.browser.walking import ShownClient, Walker

EVIL: Final = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
LONG: Final = "W" * 80
NARROW: Final = {"width": 320, "height": 640}
WITH_SCRIPTS: Final = pytest.mark.parametrize("script", [True], ids=["script"])
"""Where a browser that runs none could show no more: nothing of a stranger's runs then, and nothing else is loaded."""

_SIDEWAYS: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_SMALL_TARGETS: Final = """
[...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea, summary')]
    .filter(one => !one.matches('p a, .skip, li > a') && one.getClientRects().length)
    .map(one => [one.outerHTML.slice(0, 120), one.getBoundingClientRect()])
    .filter(([, box]) => box.height < 24 && !(box.width >= 18 && box.height >= 18))
    .map(([html]) => html)
"""
_CONTRAST: Final = """
() => {
  const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = one => {
    for (; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !parent.getClientRects().length) continue;
    const [a, b] = [light(parse(getComputedStyle(parent).color)), light(ground(parent))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(walker.currentNode.data.trim().slice(0, 60));
  }
  return faint;
}
"""


async def pages_of(walker: Walker, client: ShownClient) -> Sequence[str]:
    """The addresses of all kinds of pages, with a key to show."""
    await walker.page.goto(client.file_link)
    await walker.press("Create key")
    key = await walker.page.get_by_role("link", name="Manage this key").get_attribute("href")
    console = f"/developer/clients/{client.client_id}"
    return (
        "/",
        str(key),
        f"{key}/revoke",
        f"/apps/{client.client_id}/disconnect",
        "/revoke-all",
        "/account",
        "/account?error=common",
        f"/reset-password?token={'A' * 43}",
        "/developer",
        "/developer/clients/new",
        console,
        f"{console}/edit",
        f"{console}/delete",
        f"{console}/webhooks?show=secrets",
        client.consent_link,
        client.file_link,
        "/device",
        "/device?user_code=BBBB-BBBB",
        "/login?error=invalid",
        "/sign-up?error=taken",
        "/nothing",
    )


async def hostile_client(walker: Walker, integrator: Integrator) -> ShownClient:
    """A client whose texts are as long and as odd as may be."""
    return await walker.register_client(
        name=LONG,
        redirect_uris=[f"{integrator.http}/cb?{LONG}"],
        permissions=["customise_score", "delete_score"],
        filename=f"{'w' * 70}.txt",
        template=f"{EVIL}%%API_KEY%%",
    )


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark"}])
async def test_every_page_fits_and_can_be_read(
    new_walker: NewWalker, integrator: Integrator, options: Mapping[str, Any]
) -> None:
    """320 px wide without scrolling sideways, targets of 24 px, contrast of 4.5, one h1, a title, in light and dark."""
    walker = await new_walker(viewport=NARROW, **options)
    await walker.join()
    client = await hostile_client(walker, integrator)
    titles = set()
    for path in await pages_of(walker, client):
        await walker.page.goto(path)
        assert await walker.page.evaluate(_SIDEWAYS) == 0, path
        assert await walker.page.evaluate(_SMALL_TARGETS) == [], path
        assert await walker.page.evaluate(_CONTRAST) == [], path
        await expect(walker.page.get_by_role("heading", level=1)).to_have_count(1)
        titles.add(await walker.page.title())
    assert len(titles) == 21


@WITH_SCRIPTS
async def test_strangers_texts_stay_text(walker: Walker, integrator: Integrator) -> None:
    """Markup in a name is shown, and nothing of it runs (AC-42)."""
    client = await walker.register_client(
        name=EVIL[:80],
        redirect_uris=[f"{integrator.http}/cb"],
        filename="a.txt",
        template=f"{EVIL}%%API_KEY%%",
    )
    for path in await pages_of(walker, client):
        await walker.page.goto(path)
        await expect(walker.page.locator("img, [onerror]")).to_have_count(0)
    await walker.page.goto(client.consent_link)
    await expect(walker.page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror")


async def test_consent_by_keyboard_alone(walker: Walker, integrator: Integrator) -> None:
    """Tab reaches everything in order with a visible focus; Enter decides."""
    client = await walker.own_client(redirectUris=[f"{integrator.http}/cb"])
    page = walker.page
    await page.goto(client.consent_link)
    reached = []
    for _ in range(6):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        reached.append(" ".join((await focused.inner_text()).split()))
        assert await _outline(page) >= 2, reached[-1]
    assert reached[0] == "Skip to the content"
    assert [name for name in reached if name in ("Not you? Switch account", "Decline", "Accept")] == [
        "Not you? Switch account",
        "Decline",
        "Accept",
    ]
    await page.get_by_role("button", name="Accept").focus()
    await page.keyboard.press("Enter")
    assert (await integrator.arrival())["code"]


async def _outline(page: Page) -> float:
    width = await page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
    return float(width)


@WITH_SCRIPTS
async def test_accept_and_decline_weigh_the_same(walker: Walker, integrator: Integrator) -> None:
    """The same size, side by side or one above the other; nothing is pressed beforehand."""
    client = await walker.own_client(redirectUris=[f"{integrator.http}/cb"])
    for width in (320, 1280):
        await walker.page.set_viewport_size({"width": width, "height": 800})
        await walker.page.goto(client.consent_link)
        boxes = [
            await walker.page.get_by_role("button", name=name, exact=True).bounding_box()
            for name in ("Accept", "Decline")
        ]
        sizes = {(round(box["width"]), round(box["height"])) for box in boxes if box is not None}
        assert len(boxes) == 2
        assert len(sizes) == 1
        assert min(min(size) for size in sizes) >= 44


@WITH_SCRIPTS
async def test_the_consent_page_is_two_requests(walker: Walker, integrator: Integrator) -> None:
    """One document, one stylesheet, kept for the next time; below 50 kB."""
    client = await walker.own_client(redirectUris=[f"{integrator.http}/cb"])
    walker.requests.clear()
    await walker.page.goto(client.consent_link)
    await walker.page.wait_for_load_state("networkidle")
    kinds = [request.resource_type for request in walker.requests if not request.url.startswith("data:")]
    assert kinds == ["document", "stylesheet"]
    bodies = [await answer.body() for request in walker.requests if (answer := await request.response())]
    assert sum(map(len, bodies)) < 50_000
