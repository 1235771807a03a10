"""One person, several logins: linked only from the account's page, while signed in, and never by a name."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from html import unescape

import httpx
import pytest

from tests.harness.site import Person, bearer
from tests.harness.stores import Servers
from tests.integration.auth_api.openid_desk import Desk, as_at_first, running_desk, who


@pytest.fixture(scope="module")
async def running(servers: Servers) -> AsyncIterator[Desk]:
    """One provider and services for the tests of this module."""
    async with running_desk(servers) as desk:
        yield desk


@pytest.fixture
def desk(running: Desk) -> Desk:
    """The provider as it is at first."""
    return as_at_first(running)


async def begin(person: Person) -> str:
    """The button on the account's page: where the page leads."""
    answer = await person.http.post("/login/oidc/link")
    assert answer.status_code == 200, answer.text
    found = re.search(r'href="([^"]+/authorize[^"]+)"', answer.text)
    assert found is not None
    return unescape(found[1])


async def link(desk: Desk, person: Person) -> httpx.Response:
    """There, approved, and back."""
    return await person.http.get(desk.provider.approve(await begin(person)))


async def test_a_linked_login_leads_to_the_same_account(desk: Desk) -> None:
    """Beside the password; the identity that is linked first goes with new keys."""
    person = await desk.registry.site.sign_up()

    back = await link(desk, person)
    other = await desk.browser()
    await desk.sign_in(other)
    key = (await person.create_key("CLI", ["customise_score"]))["token"]
    checked = await desk.registry.issuer.http.get("/api/v1/verify", headers=bearer(key))

    assert (back.status_code, back.headers["Location"]) == (303, "/account?done=linked")
    assert await who(person) == await who(other) == person.user_id
    assert checked.headers["X-Latchkey-External-User"] == desk.provider.person["sub"]
    lines = await desk.registry.sql(
        "SELECT FROM auth.audit WHERE action = 'identity.linked' AND subject = $1", f"user:{person.user_id}"
    )
    assert len(lines) == 1


async def test_a_login_of_somebody_else_is_not_taken(desk: Desk) -> None:
    """409, and each keeps their own; linking one's own again changes nothing."""
    owner = await desk.browser()
    await desk.sign_in(owner)
    person = await desk.registry.site.sign_up()

    taken = await link(desk, person)
    again = await link(desk, owner)

    assert (taken.status_code, again.status_code) == (409, 303)
    assert await who(person) == person.user_id
    assert await who(owner) not in (None, person.user_id)


async def test_a_sign_in_while_signed_in_links_nothing(desk: Desk) -> None:
    """It switches the person."""
    person = await desk.registry.site.sign_up()

    await desk.sign_in(person)

    assert await who(person) not in (None, person.user_id)


async def test_linking_begins_with_a_form_of_ours(desk: Desk) -> None:
    """Not with a link, not from another site's page, not signed out."""
    person, stranger = await desk.registry.site.sign_up(), await desk.browser()

    got = await person.http.get("/login/oidc/link")
    foreign = await person.http.post("/login/oidc/link", headers={"Origin": "https://evil.example"})
    out = await stranger.http.post("/login/oidc/link")

    assert (got.status_code, foreign.status_code, out.status_code) == (405, 403, 401)


async def test_whoever_is_signed_in_meanwhile_gets_no_login_of_another(desk: Desk) -> None:
    """The account that began is the one that is linked, or none."""
    person = await desk.registry.site.sign_up()
    address = desk.provider.approve(await begin(person))
    other = await desk.registry.site.sign_up(f"other-{secrets.token_hex(4)}")
    person.http.cookies["latchkey_session"] = other.http.cookies["latchkey_session"]

    back = await person.http.get(address)

    assert (back.status_code, "somebody else" in back.text) == (400, True)
    rows = await desk.registry.sql(
        "SELECT FROM auth.external_identities WHERE subject = $1", desk.provider.person["sub"]
    )
    assert rows == []
