"""People and integrators as tests need them: accounts, clients, and a browser that accepts or declines."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientTimeout, CookieJar

from deploy.demo_app.browser import Browser, Page

PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client and its secret, which a public one lacks."""

    client_id: str
    client_secret: str | None


class Account:
    """An account of Latchkey, signed in over REST. Use as an async context manager."""

    def __init__(self, url: str, username: str | None = None) -> None:
        """``url`` is the public address."""
        self.url = url
        self.username = username or f"user-{secrets.token_hex(6)}"
        self.user_id = 0

    async def __aenter__(self) -> Self:
        """Signs up."""
        self._http = ClientSession(
            cookie_jar=CookieJar(unsafe=True), timeout=ClientTimeout(total=15), headers={"Origin": self.url}
        )
        made = await self.send(
            "POST", "/api/v1/users", {"username": self.username, "password": PASSWORD}, 201
        )
        self.user_id = made["userID"]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Forgets the session."""
        await self._http.close()

    @property
    def cookies(self) -> dict[str, str]:
        """The session, for requests that another client makes."""
        return {cookie.key: cookie.value for cookie in self._http.cookie_jar}

    async def send(self, method: str, path: str, body: object = None, expected: int = 200) -> Any:
        """A request with the account's session; the JSON of the answer."""
        async with self._http.request(method, self.url + path, json=body) as answer:
            text = await answer.text()
            assert answer.status == expected, f"{method} {path} answered {answer.status}: {text}"
            return await answer.json(content_type=None) if text else None

    async def register(self, **fields: object) -> RegisteredClient:
        """Registers a client."""
        body = {"name": "Epic Games", "requestedPermissions": ["customise_score"], **fields}
        made = await self.send("POST", "/api/v1/clients", body, 201)
        return RegisteredClient(made["clientID"], made["clientSecret"])


class Person:
    """Somebody in front of a browser, with an account, who decides. Use as an async context manager."""

    def __init__(self, url: str) -> None:
        """``url`` is the public address."""
        self._url = url
        self.username = f"player-{secrets.token_hex(6)}"
        self.browser = Browser()

    async def __aenter__(self) -> Self:
        """Signs up on the site's page."""
        await self.browser.__aenter__()
        page = await self.browser.open(f"{self._url}/sign-up")
        values = {"username": self.username, "password": PASSWORD}
        page = await self.browser.press(page, page.button_beside("password"), values)
        assert page.status == 200, page
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the browser."""
        await self.browser.__aexit__()

    async def decide(self, url: str, button: str, redirect_uri: str) -> str:
        """Opens a request for consent and presses Accept or Decline; the address to which that leads."""
        page = await self.browser.open(url)
        page = await self.browser.press(page, button, stop_at=redirect_uri)
        assert page.url.startswith(redirect_uri), (
            f"{button} led to {page.url} ({page.status}): {page.html[:500]}"
        )
        return page.url

    async def confirm_device(self, address: str) -> Page:
        """Opens the complete address that a device shows, and accepts there."""
        page = await self.browser.open(address)
        while "Accept" not in [button.text for form in page.forms for button in form.buttons]:
            page = await self.browser.press(page, page.button_beside("user_code"))
            assert urlsplit(page.url).path == "/device", page.url
        return await self.browser.press(page, "Accept")
