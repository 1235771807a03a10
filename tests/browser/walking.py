"""What people do on the pages, in the words of the pages."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from playwright.async_api import Page, Request, expect

PATIENCE_SECONDS = 15.0
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class ShownClient:
    """A client as the console showed it to its author."""

    client_id: str
    secret: str
    consent_link: str
    file_link: str

    @classmethod
    def of(cls, url: str, made: Mapping[str, object]) -> ShownClient:
        """What the console of the Latchkey at that address shows of a client that was made over REST."""
        client_id = str(made["clientID"])
        return cls(
            client_id,
            secret=str(made["clientSecret"]),
            consent_link=f"{url}/oauth/request-auth?clientID={client_id}",
            file_link=f"{url}/client-file-flow/{client_id}",
        )


class Walker:
    """Somebody with a browser."""

    def __init__(self, page: Page, url: str) -> None:
        """``url`` is the public address."""
        self.page = page
        self.url = url
        self.username = f"walker-{secrets.token_hex(4)}"
        self.messages: list[str] = []
        self.requests: list[Request] = []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(f"pageerror: {error}"))
        page.on("dialog", lambda dialog: self.messages.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.requests.append(request))  # noqa: PLW0108 - Playwright marks it

    def assert_nothing_was_blocked(self) -> None:
        """No policy of ours stood in the way, no script failed, and no stranger's text came alive."""
        bad = [
            message
            for message in self.messages
            if "Content Security Policy" in message or message.startswith(("pageerror:", "dialog:"))
        ]
        assert bad == []

    async def sign_up(self) -> None:
        """Makes an account on the page."""
        await self.page.goto("/sign-up")
        await self.fill_sign_up()
        await expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    async def fill_sign_up(self) -> None:
        """On the page for a new account, wherever that leads."""
        await self._fill_credentials()
        await self.press("Create account")

    async def new_tab(self) -> Walker:
        """The same person in another tab of the same browser."""
        tab = Walker(await self.page.context.new_page(), self.url)
        tab.username = self.username
        tab.messages = self.messages
        return tab

    async def join(self) -> None:
        """Makes an account without the page for it, which `sign_up` walks: the cookie is this browser's all the same."""
        await self._send("/api/v1/users", {"username": self.username, "password": PASSWORD})

    async def sign_in(self) -> None:
        """On the sign-in page, wherever that leads."""
        await self._fill_credentials()
        await self.press("Sign in")

    async def _fill_credentials(self) -> None:
        await self.page.get_by_label("Username").fill(self.username)
        await self.page.get_by_label("Password").fill(PASSWORD)

    async def press(self, button: str) -> None:
        """Presses the button of exactly that name."""
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def follow(self, link: str) -> None:
        """Follows the first link whose name begins so."""
        await self.page.get_by_role("link", name=link).first.click()

    async def open_home(self, *, keys: int) -> None:
        """The start page, once it lists so many keys: each is listed when its delivery has been confirmed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await self.page.goto(f"{self.url}/")
                if await self.page.get_by_role("link", name="Revoke the key").count() == keys:
                    return

    async def own_client(self, name: str = "Epic Games", **fields: object) -> ShownClient:
        """Registers a client without the console, which `register_client` walks; the fields are those of the interface."""
        body = {"name": name, "requestedPermissions": ["customise_score"], **fields}
        return ShownClient.of(self.url, await self._send("/api/v1/clients", body))

    async def _send(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        answer = await self.page.request.post(self.url + path, data=body, headers={"Origin": self.url})
        assert answer.status == HTTPStatus.CREATED, await answer.text()
        made: dict[str, object] = await answer.json()
        return made

    async def register_client(
        self,
        *,
        name: str = "Epic Games",
        redirect_uris: Sequence[str] = (),
        permissions: Sequence[str] = ("customise_score",),
        filename: str = "",
        template: str = "",
    ) -> ShownClient:
        """Registers a client in the console."""
        page = self.page
        await page.goto("/developer")
        await self.follow("Register a client")
        await page.get_by_label("Name", exact=True).fill(name)
        await page.get_by_label("Redirect addresses").fill("\n".join(redirect_uris))
        for permission in permissions:
            await page.locator(f'input[value="{permission}"]').check()
        if filename or template:
            await page.get_by_text("Key file and webhook").click()
            await page.get_by_label("Key file: name").fill(filename)
            await page.get_by_label("Key file: template").fill(template)
        await self.press("Register")
        await expect(page.get_by_role("heading", name=f"{name} is registered")).to_be_visible()
        link = page.get_by_label("To connect their account")
        return ShownClient(
            client_id=await page.get_by_label("Client ID").input_value(),
            secret=await page.get_by_label("Client secret").input_value(),
            consent_link=await link.input_value() if await link.count() else "",
            file_link=await page.locator("#file-link").input_value(),
        )
