"""Services that know an OpenID provider, and browsers that sign in by it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from shared.web.redirects import sign_target
from tests.harness.openid import CLIENT_ID, CLIENT_SECRET, Provider, running_provider
from tests.harness.site import Person
from tests.harness.stores import Servers
from tests.integration.auth_api.conftest import Registry, running_registry


class Desk:
    """Services that know a provider, and browsers that sign in by it."""

    def __init__(self, registry: Registry, provider: Provider) -> None:
        """Both run."""
        self.registry = registry
        self.provider = provider
        self.keys = provider.keys

    async def browser(self) -> Person:
        """Somebody who is not signed in."""
        return await self.registry.site.visitor()

    async def begin(self, browser: Person, target: str = "/") -> str:
        """The browser is sent to the provider: where to."""
        signed = sign_target(self.registry.resources.settings.secrets, target)
        answer = await browser.http.get("/login/oidc", params={"continue": signed})
        assert answer.status_code == 303, answer.text
        assert answer.headers["Location"].startswith(self.provider.issuer + "/authorize?")
        return answer.headers["Location"]

    async def sign_in(self, browser: Person, target: str = "/", **changed: str) -> httpx.Response:
        """There, approved, and back."""
        return await browser.http.get(self.provider.approve(await self.begin(browser, target), **changed))


@asynccontextmanager
async def running_desk(servers: Servers) -> AsyncIterator[Desk]:
    """One provider and services."""
    async with running_provider() as provider:
        settings = {
            "OIDC_ISSUER": provider.issuer,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        }
        async with running_registry(servers, THROTTLE="off", **settings) as registry:
            yield Desk(registry, provider)


def as_at_first(running: Desk) -> Desk:
    """The provider as it is at first, for a person of the test's own; its keys are known to nobody yet."""
    provider = running.provider
    name = secrets.token_hex(4)
    provider.person = {"sub": f"p-{name}", "preferred_username": f"zoe-{name}", "name": "Zoë"}
    provider.claims, provider.metadata, provider.broken, provider.userinfo = {}, {}, {}, None
    provider.keys = running.keys
    provider.token, provider.algorithm, provider.tells_key_id = None, "RS256", True
    provider.asked.clear()
    oidc = running.registry.resources.oidc
    assert oidc is not None
    oidc.forget()
    return running


async def who(browser: Person) -> int | None:
    """The account that is signed in here."""
    answer = await browser.http.get("/api/v1/session")
    return answer.json()["userID"] if answer.status_code == 200 else None
