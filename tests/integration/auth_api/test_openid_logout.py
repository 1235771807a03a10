"""The provider's own word that somebody left: sessions end, keys never do (OpenID Connect Back-Channel Logout)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.harness.openid import LOGOUT_EVENT
from tests.harness.stores import Servers
from tests.integration.auth_api.openid_desk import Desk, as_at_first, running_desk, who

LONG_AGO = 1_000_000_000
LOGOUT = "/login/oidc/backchannel-logout"


@pytest.fixture(scope="module")
async def running(servers: Servers) -> AsyncIterator[Desk]:
    """One provider and services for the tests of this module."""
    async with running_desk(servers) as desk:
        yield desk


@pytest.fixture
def desk(running: Desk) -> Desk:
    """The provider as it is at first."""
    return as_at_first(running)


async def log_out(desk: Desk, token: str) -> int:
    """The provider's back channel; the status."""
    answer = await desk.registry.site.http.post(LOGOUT, data={"logout_token": token})
    return answer.status_code


async def test_the_provider_ends_one_session_or_all(desk: Desk) -> None:
    """By ``sid`` the one that it began, by ``sub`` every one; keys live on."""
    one, two = await desk.browser(), await desk.browser()
    desk.provider.claims = {"sid": f"s-{desk.provider.person['sub']}"}
    await desk.sign_in(one)
    desk.provider.claims = {"sid": "another"}
    await desk.sign_in(two)
    key = (await two.create_key("CLI", ["customise_score"]))["token"]

    of_one = await log_out(desk, desk.provider.logout_token(sid=f"s-{desk.provider.person['sub']}"))
    after_one = [await who(one), await who(two) is not None]
    of_all = await log_out(desk, desk.provider.logout_token())

    assert (of_one, of_all) == (200, 200)
    lines = await desk.registry.sql("SELECT action FROM auth.audit WHERE actor = 'provider'")
    assert "sessions.ended" in {line["action"] for line in lines}
    assert after_one == [None, True]
    assert await who(two) is None
    assert (await desk.registry.issuer.verify(key)).status_code == 200


async def test_a_logout_that_comes_twice_does_nothing(desk: Desk) -> None:
    """The person may have signed in again meanwhile."""
    browser = await desk.browser()
    await desk.sign_in(browser)
    token = desk.provider.logout_token()
    await log_out(desk, token)
    await desk.sign_in(browser)

    assert await log_out(desk, token) == 200
    assert await who(browser) is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "somebody else"},
        {"iss": "https://evil.example"},
        {"iat": LONG_AGO},
        {"exp": LONG_AGO},
        {"events": {}},
        {"events": {LOGOUT_EVENT: 1}},
        {"events": None},
        {"nonce": "n"},
        {"jti": None},
        {"sub": None},
        {"sub": 7},
    ],
    ids=str,
)
async def test_a_logout_that_is_not_to_be_believed_ends_nothing(desk: Desk, changed: dict[str, Any]) -> None:
    """400, and the session lives."""
    browser = await desk.browser()
    await desk.sign_in(browser)

    assert await log_out(desk, desk.provider.logout_token(**changed)) == 400
    assert await who(browser) is not None


async def test_an_id_token_is_no_logout(desk: Desk) -> None:
    """Nor is nothing, nor garbage."""
    statuses = [await log_out(desk, token) for token in (desk.provider.id_token("n"), "", "x", "a.b.c")]

    assert statuses == [400] * 4
