"""What people do with a real provider: sign in there, consent here; and what the site then knows of their keys."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from deploy.demo_app.browser import Browser, Page
from deploy.embedded.ports import free_port
from tests.harness.processes import RunningProcess, starting
from tests.harness.site import CALLBACK, Client, Site
from tests.interop.building import CannotBuildError
from tests.interop.providers.running import RunningProvider

PERMISSION: Final = "customise_score"
PATIENCE_SECONDS: Final = 20.0
BACK: Final = "/login/oidc/callback"

Login = Callable[[Browser, Page, str, str], Awaitable[Page]]
"""Signs somebody in on the provider's own page: by their name there, up to an address at which to stop."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A Latchkey whose people a real provider signs in, and an app that wants their keys."""

    url: str
    latchkey: RunningProcess
    provider: RunningProvider
    login: Login

    def browser(self) -> Browser:
        """Somebody's; like real ones it takes the secure cookies of a provider on this computer."""
        return Browser([self.provider.issuer.partition("/realms")[0]])

    async def to_provider(self, browser: Browser, target: str) -> Page:
        """Goes to a page of ours, signed out: the provider's sign-in page."""
        page = await browser.open(self.url + target)
        assert page.url.startswith(self.url + "/login"), page.url
        page = await browser.follow(page, page.link("/login/oidc"))
        assert page.url.startswith(self.provider.issuer.partition("/realms")[0]), page.url
        return page

    async def sign_in(self, browser: Browser, name: str, target: str = "/developer") -> Page:
        """The whole way, to the page of ours that was wanted."""
        return await self.login(browser, await self.to_provider(browser, target), name, self.url + "/nowhere")

    async def callback(self, browser: Browser, name: str, target: str = "/developer") -> str:
        """The address at which the provider sends the browser back, not opened yet."""
        page = await self.login(browser, await self.to_provider(browser, target), name, self.url + BACK)
        assert page.url.startswith(self.url + BACK), page.url
        return page.url

    async def code_for(self, browser: Browser, client: Client) -> str:
        """What the app gets from somebody who is signed in and accepts."""
        page = await browser.open(f"{self.url}/oauth/request-auth?clientID={client.client_id}")
        page = await browser.press(page, "Accept", stop_at=CALLBACK)
        return parse_qs(urlsplit(page.url).query)["code"][0]

    def causes(self) -> list[str]:
        """Why answers of the provider were not believed, as the log has it."""
        said = (json.loads(line) for line in self.latchkey.output().splitlines() if line.startswith("{"))
        return [str(one["cause"]) for one in said if "cause" in one]


@contextmanager
def running_desk(
    folder: Path,
    start: Callable[[Path, str], AbstractContextManager[RunningProvider]],
    login: Login,
) -> Iterator[Desk]:
    """Both, each knowing the other. Where the provider is not to be had: skips, which CI forbids."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("up", "--port", str(port), "--data-dir", str(folder / "data"))
    try:
        provided = start(folder, url)
        provider = provided.__enter__()
    except CannotBuildError as error:
        pytest.skip(str(error))
    try:
        environ = provider.settings() | {"LATCHKEY_LOG_FORMAT": "json"}
        with starting(*arguments, folder=folder, environ=environ) as latchkey:
            latchkey.wait_until(lambda: "Latchkey is ready at " in latchkey.output(), "it was ready")
            yield Desk(url, latchkey, provider, login)
    finally:
        provided.__exit__(None, None, None)


async def connect(desk: Desk, site: Site, name: str) -> tuple[Client, str]:
    """Somebody signs in at the provider on the way to an app's request, accepts, and the app gets a key."""
    author = await site.sign_up()
    client = await author.create_client(name="Score Bot")
    async with desk.browser() as browser:
        page = await desk.sign_in(browser, name, f"/oauth/request-auth?clientID={client.client_id}")
        assert "Score Bot" in page.html, page
        page = await browser.press(page, "Accept", stop_at=CALLBACK)
        code = parse_qs(urlsplit(page.url).query)["code"][0]
    answer = await site.exchange(client, code)
    assert answer.status_code == httpx.codes.OK, answer.text
    return client, str(answer.json()["access_token"])


async def identity_of(site: Site, key: str) -> tuple[str, str]:
    """The issuer and the external id that a check of a key tells."""
    checked = await site.verify(key, PERMISSION)
    assert checked.status_code == httpx.codes.OK
    told = checked.headers
    return unquote(told["X-Latchkey-External-Issuer"]), unquote(told["X-Latchkey-External-User"])


async def is_signed_in(desk: Desk, browser: Browser) -> bool:
    """Whether this browser has a session of ours."""
    return await browser.call("GET", desk.url + "/api/v1/session") == httpx.codes.OK


async def until(is_so: Callable[[], Awaitable[bool]], what: str) -> None:
    """Asks until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await is_so():
        assert time.monotonic() < deadline, f"not in {PATIENCE_SECONDS} s: {what}"
        await asyncio.sleep(0.1)
