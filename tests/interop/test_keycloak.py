"""Keycloak signs people in: from an app's link to a key, its keys rotated, signed out there, and killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from deploy.demo_app.browser import Browser, Page
from tests.harness.backends import new_folder
from tests.harness.site import Site
from tests.interop.providers.running import ADMIN, PASSWORD, running_keycloak
from tests.interop.providers.story import (
    Desk,
    connect,
    identity_of,
    is_signed_in,
    running_desk,
    until,
)

# It is fetched, built and started for this file alone, which takes minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]


async def log_in(browser: Browser, page: Page, name: str, stop_at: str) -> Page:
    """On its own page."""
    return await browser.press(page, "Sign In", {"username": name, "password": PASSWORD}, stop_at=stop_at)


@pytest.fixture(scope="module")
def desk(run_directory: Path) -> Iterator[Desk]:
    """It and a Latchkey."""
    with running_desk(new_folder(run_directory), running_keycloak, log_in) as desk:
        yield desk


@pytest.fixture(scope="module")
async def site(desk: Desk) -> AsyncIterator[Site]:
    """That Latchkey."""
    async with Site.at(desk.url) as site:
        yield site


class Operator:
    """The realm's administrator, over Keycloak's own REST interface."""

    def __init__(self, issuer: str) -> None:
        """``issuer`` is the realm's."""
        self._base, _, self._realm = issuer.partition("/realms/")

    async def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        """A request below the realm's address."""
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            form = {
                "grant_type": "password",
                "client_id": "admin-cli",
                "username": ADMIN,
                "password": PASSWORD,
            }
            got = await http.post(f"{self._base}/realms/master/protocol/openid-connect/token", data=form)
            headers = {"Authorization": f"Bearer {got.json()['access_token']}"}
            address = f"{self._base}/admin/realms/{self._realm}{path}"
            answer = await http.request(method, address, json=body, headers=headers)
            assert answer.is_success, answer.text
            return answer

    async def rotate(self) -> None:
        """New keys that sign from now on."""
        realm = (await self.call("GET", "")).json()
        component = {
            "name": "newer",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": realm["id"],
            "config": {"priority": ["200"], "algorithm": ["RS256"]},
        }
        await self.call("POST", "/components", component)

    async def sign_out(self, name: str) -> None:
        """Ends everything of somebody, which their clients hear by back-channel logout."""
        (person,) = (await self.call("GET", f"/users?username={name}&exact=true")).json()
        await self.call("POST", f"/users/{person['id']}/logout")

    async def id_of(self, name: str) -> str:
        """The `sub` of somebody."""
        (person,) = (await self.call("GET", f"/users?username={name}&exact=true")).json()
        return str(person["id"])


async def test_from_the_apps_link_to_a_key_that_outlives_keycloak(desk: Desk, site: Site) -> None:
    """Sign in there, consent here, a check names who; rotated, signed out there, and in the end killed."""
    operator, provider = Operator(desk.provider.issuer), desk.provider
    _, key = await connect(desk, site, "zoe")
    assert await identity_of(site, key) == (provider.issuer, await operator.id_of("zoe"))

    await operator.rotate()

    async def comes_in() -> bool:
        async with desk.browser() as browser:
            await desk.sign_in(browser, "zoe")
            return await is_signed_in(desk, browser)

    await until(comes_in, "signed in with the new key")
    async with desk.browser() as browser:
        page = await desk.sign_in(browser, "zoe")
        assert "Zoë Ünal" in page.html
        await operator.sign_out("zoe")

        async def is_out() -> bool:
            return not await is_signed_in(desk, browser)

        await until(is_out, "signed out here")
        assert (await site.verify(key)).status_code == httpx.codes.OK
        await desk.sign_in(browser, "zoe")

        provider.kill()

        assert await is_signed_in(desk, browser)
        assert (await site.verify(key)).status_code == httpx.codes.OK
        assert (await site.http.get("/readyz")).status_code == httpx.codes.OK
    async with desk.browser() as stranger:
        page = await stranger.open(desk.url + "/login/oidc", stop_at=provider.issuer)
        assert page.status in (303, 503)
