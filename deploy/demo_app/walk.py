"""The whole story without a screen: a person links the site, the site uses the key, the person takes it back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import ClientSession, web

from deploy.demo_app import sample_api
from deploy.demo_app.browser import Browser, Page
from deploy.demo_app.keys import SITE, VISITORS, Site
from deploy.demo_app.own_login import PASSWORD as PLAYER_PASSWORD
from deploy.demo_app.own_login import Player
from deploy.demo_app.visitors import LinkedAccount

Say = Callable[[str, str], None]
"""Tells a step and what came of it."""
PASSWORD_BYTES: Final = 18
MOST_SECONDS: Final = 6.0
"""Until a key that was taken back must be refused, and one more."""


class WalkFailed(Exception):  # noqa: N818 - it says what is the case
    """The story took a wrong turn; the message says where."""


async def walk(app: web.Application, say: Say, player: Player | None = None) -> None:
    """Walks through the site that ``app`` serves, and its Latchkey.

    With ``player`` the person has their account at a site with its own login, else they make one at Latchkey.

    Raises:
        WalkFailed: something answered differently than it should.
    """
    site = app[SITE]
    async with Browser() as browser:
        try:
            consent = await _arrive(browser, site, say, player)
            consent = await _decline(browser, site, consent, say)
            await _accept(browser, app, consent, say)
            account = _linked(app)
            if player is not None:
                await _check_identity(site, account, player, say)
            await _use(browser, site, "200", say)
            for base in api_paths(app):
                await _try_sample_api(site, base, account, say)
            await _take_back(browser, app, account, say)
        except LookupError as error:
            raise WalkFailed(str(error)) from error


async def _arrive(browser: Browser, site: Site, say: Say, player: Player | None) -> Page:
    """From the site's link, through signing in, to the consent page."""
    home = await browser.open(f"{site.origin}/")
    page = await browser.follow(home, home.link("/link"))
    _require("/login", urlsplit(page.url).path, "The link leads to a page to sign in")
    say("A person follows the site's link", f"Latchkey asks to sign in ({page.status})")
    page = await (
        _make_account(browser, page, say) if player is None else _log_in(browser, page, player, say)
    )
    page.form("Accept")
    page.form("Decline")
    say("They read what Epic Games asks for", f"Accept or Decline ({page.status})")
    return page


async def _make_account(browser: Browser, page: Page, say: Say) -> Page:
    page = await browser.follow(page, page.link("/sign-up"))
    username = f"player-{secrets.token_hex(4)}"
    values = {"username": username, "password": secrets.token_urlsafe(PASSWORD_BYTES)}
    page = await browser.press(page, page.button_beside("password"), values)
    say("They make an account there", username)
    return page


async def _log_in(browser: Browser, page: Page, player: Player, say: Say) -> Page:
    """At the login of the site that has their account; with no other way in Latchkey's own page was passed over."""
    if not any("login_challenge" in form.fields for form in page.forms):
        page = await browser.follow(page, page.link("/login/site"))
    say("It sends them to the login of their own site", urlsplit(page.url).netloc)
    values = {"username": player.username, "password": PLAYER_PASSWORD}
    page = await browser.press(page, "Sign in", values)
    _require(True, player.name in page.html, f"The consent page at {page.url} shows {player.name}")
    say("They sign in there and come back", f"Latchkey knows them as {player.name}")
    return page


async def _check_identity(site: Site, account: LinkedAccount, player: Player, say: Say) -> None:
    """What the API of the site that has their account learns with each check."""
    headers = {"Authorization": f"Bearer {account.key.token}"}
    async with (
        ClientSession() as http,
        http.get(f"{site.latchkey}/api/v1/verify", headers=headers) as answer,
    ):
        told = answer.headers.get("X-Latchkey-External-User")
    _require(player.external_id, told, "A check of the key tells the site's own id")
    say("A check of the key names the person as their own site does", f"X-Latchkey-External-User: {told}")


async def _decline(browser: Browser, site: Site, consent: Page, say: Say) -> Page:
    """Decline, then back to the consent page."""
    page = await browser.press(consent, "Decline")
    _require(True, "That is fine" in page.html, f"Decline leads to a friendly page, not to {page.url}")
    say("They press Decline", "back at the site, nothing is linked")
    return await browser.follow(page, f"{site.origin}/link")


async def _accept(browser: Browser, app: web.Application, consent: Page, say: Say) -> None:
    page = await browser.press(consent, "Accept")
    _require(200, page.status, f"Accept leads back to the site, not to {urlsplit(page.url).path}")
    account = _linked(app)
    say("They follow the link again and press Accept", "back at the site with a one-time code")
    say("The site swaps the code for a key", f"linked as {account.username}, {account.key.masked}")


async def _use(browser: Browser, site: Site, expected: str, say: Say) -> None:
    page = await browser.press(await browser.open(f"{site.origin}/"), "Use the key")
    wanted = "The key works." if expected == "200" else "The key was refused."
    _require(True, wanted in page.html, f"Using the key should have said: {wanted}")
    say("The site uses the key", f"{expected}: {wanted}")


def api_paths(app: web.Application) -> list[str]:
    """Where the site's API is: behind a check that asks each time, and, with a service key, behind the SDK."""
    bases = (sample_api.PATHS, sample_api.GUARDED_PATHS)
    return [
        base for base in bases if any(str(each.canonical).startswith(base) for each in app.router.resources())
    ]


async def _try_sample_api(site: Site, base: str, account: LinkedAccount, say: Say) -> None:
    """The site's own API refuses a missing, a wrong and an under-permitted key, and answers a browser's question."""
    asking = {"Origin": "https://another.example", "Access-Control-Request-Method": "GET"}
    good = {"Authorization": f"Bearer {account.key.token}"}
    wrong = {"Authorization": f"Bearer {account.key.token[:-1]}"}
    tries: tuple[tuple[str, str, str, dict[str, str], int], ...] = (
        ("without a key", "GET", "scores", {}, 401),
        ("without a key, by a browser that asks first", "OPTIONS", "scores", asking, 204),
        ("with a wrong key", "GET", "scores", wrong, 401),
        ("with the key", "GET", "scores", good, 200),
        ("with the key, for what it may do", "POST", "scores/1/comment", good, 201),
        ("with the key, for what it may not do", "DELETE", "scores/1", good, 403),
    )
    async with ClientSession() as http:
        for what, method, path, headers, expected in tries:
            async with http.request(method, site.origin + base + path, headers=headers) as answer:
                _require(expected, answer.status, f"{method} {base}{path} {what}")
                say(f"The site's API is called {what}", f"{method} {base}{path}: {answer.status}")


async def _take_back(browser: Browser, app: web.Application, account: LinkedAccount, say: Say) -> None:
    site = app[SITE]
    status = await browser.call("DELETE", f"{site.latchkey}/api/v1/apps/{site.client_id}")
    _require(204, status, "Revoking the app")
    say("The person revokes Epic Games at Latchkey", f"DELETE /api/v1/apps/{site.client_id}: {status}")
    await _use(browser, site, "401", say)
    for base in api_paths(app):
        seconds = await _seconds_until_refused(site.origin + base + "scores", account)
        say(f"The key is refused below {base} too", f"401 after {seconds:.2f} s")


async def _seconds_until_refused(url: str, account: LinkedAccount) -> float:
    """Calls the API until the key is refused: what is remembered is forgotten within moments, and after 5 s whatever breaks."""
    begun, status = time.monotonic(), 200
    async with ClientSession() as http:
        while status == 200 and time.monotonic() - begun < MOST_SECONDS:  # noqa: PLR2004
            async with http.get(url, headers={"Authorization": f"Bearer {account.key.token}"}) as answer:
                status = answer.status
    _require(401, status, f"{url} with a key that was taken back")
    return time.monotonic() - begun


def _linked(app: web.Application) -> LinkedAccount:
    """The account that the walk has just linked: the site's newest."""
    account = app[VISITORS].newest_account()
    if account is None:
        raise WalkFailed("The site has linked no account.")
    return account


def _require(expected: object, found: object, what: str) -> None:
    if expected != found:
        raise WalkFailed(f"{what}: expected {expected}, got {found}")
