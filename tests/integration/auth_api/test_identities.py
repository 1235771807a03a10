"""People whom the site signs in: one account for each identity, and nobody is ever joined with somebody else."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from services.auth_api.accounts.administration import disable_user
from services.auth_api.accounts.identities import (
    LONGEST_ID,
    AccountDisabledError,
    Identity,
    Introduction,
    account_of,
    external_id_problem,
    made_username,
)
from services.auth_api.keys.personal_keys import create_key
from services.auth_api.sessions.service import read_session, start_session
from shared.secret_tokens import digest_of
from tests.harness.site import bearer
from tests.integration.auth_api.conftest import Registry

NAME = "alice"


@pytest.fixture
def alice() -> Identity:
    """Somebody whom the site knows and who has not been here yet."""
    return Identity("site", secrets.token_hex(8))


async def accounts_of(registry: Registry, identity: Identity) -> int:
    """How many accounts an identity has."""
    rows = await registry.sql(
        "SELECT FROM auth.external_identities WHERE issuer = $1 AND subject = $2",
        identity.issuer,
        identity.subject,
    )
    return len(rows)


async def test_the_same_identity_is_the_same_account(registry: Registry, alice: Identity) -> None:
    """Also where the site calls the person otherwise meanwhile; what it says last is kept."""
    first = await account_of(registry.resources, alice, Introduction("alice", "Alice", "alice@example.com"))

    again = await account_of(registry.resources, alice, Introduction("alice2", "Alice B."))

    assert again.user_id == first.user_id
    assert again.username == first.username
    (row,) = await registry.sql(
        "SELECT display_name, email, password_hash FROM auth.users WHERE user_id = $1", first.user_id
    )
    assert tuple(row) == ("Alice B.", "alice@example.com", None)


@pytest.mark.parametrize(
    ("issuer", "ending"), [("site", "3"), ("https://login.example", ""), ("site", " "), ("SITE", "")]
)
async def test_another_identity_is_another_account(
    registry: Registry, alice: Identity, issuer: str, ending: str
) -> None:
    """Though name and e-mail are the same: neither is ever looked up."""
    other = Identity(issuer, alice.subject + ending)
    said = Introduction("alice", "Alice", "alice@example.com")

    first = await account_of(registry.resources, alice, said)
    second = await account_of(registry.resources, other, said)

    assert second.user_id != first.user_id
    assert second.username != first.username
    assert second.username.lower().startswith("alice")


async def test_the_name_of_a_local_account_is_not_taken_over(registry: Registry, alice: Identity) -> None:
    """Whoever the site calls like somebody who signed up here gets an account of their own."""
    local = await registry.site.sign_up("Bob-of-here")

    account = await account_of(registry.resources, alice, Introduction("bob-of-here"))

    assert account.user_id != local.user_id
    assert account.username.startswith("bob-of-here-")


async def test_twenty_first_visits_at_once_make_one_account(registry: Registry, alice: Identity) -> None:
    """The identity is unique in the table, whatever races."""
    visits = (account_of(registry.resources, alice, Introduction("alice")) for _ in range(20))

    accounts = await asyncio.gather(*visits)

    assert len({account.user_id for account in accounts}) == 1
    assert await accounts_of(registry, alice) == 1


async def test_twenty_people_of_one_name_get_a_name_each(registry: Registry) -> None:
    """All within the rule for usernames."""
    visits = (
        account_of(registry.resources, Identity("site", f"garcia {number}"), Introduction("José García"))
        for number in range(20)
    )

    accounts = await asyncio.gather(*visits)

    names = {account.username.lower() for account in accounts}
    assert len(names) == 20
    assert all(name.startswith("jose-garcia") for name in names)


async def test_a_disabled_account_is_not_signed_in(registry: Registry, alice: Identity) -> None:
    """And no second one is made for the same identity."""
    account = await account_of(registry.resources, alice, Introduction("alice"))
    await disable_user(registry.resources, account.username)

    with pytest.raises(AccountDisabledError):
        await account_of(registry.resources, alice, Introduction("alice"))

    assert await accounts_of(registry, alice) == 1


async def test_a_key_tells_whom_the_site_knows(registry: Registry) -> None:
    """Percent-encoded in the headers of a check, as it is in an introspection; the identity is the first one."""
    identity = Identity("site", "Zoë/7 ~_.-")
    account = await account_of(registry.resources, identity, Introduction("zoe", "Zoë"))
    session = await start_session(registry.resources, account)
    user = await read_session(registry.resources, digest_of(session))
    assert user is not None
    made = await create_key(
        registry.resources,
        user,
        identifier="CLI",
        permissions=("customise_score",),
        expires_in=None,
        peer="192.0.2.1",
    )

    checked = await registry.issuer.verify(made.token)
    status = await registry.issuer.http.get("/api/v1/status", headers=bearer(made.token))

    assert user.display_name == "Zoë"
    assert checked.headers["X-Latchkey-External-User"] == "Zo%C3%AB%2F7%20~_.-"
    assert checked.headers["X-Latchkey-External-Issuer"] == "site"
    assert status.json()["body"]["externalUser"] == "Zoë/7 ~_.-"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("alice", "alice"),
        ("Alice Smith", "Alice-Smith"),
        ("\uff21\uff4c\uff49\uff43\uff45", "Alice"),
        ("alice@example.com", "alice"),
        ("  _x_  ", "user"),
        ("", "user"),
        ("日本", "user"),
        ("a" * 300, "a" * 30),
        ("'; DROP TABLE users; --", "DROP-TABLE-users"),
    ],
)
def test_a_username_is_made_of_any_name(given: str, name: str) -> None:
    """What is left is ASCII, long enough and not too long."""
    assert made_username(given) == name


@pytest.mark.parametrize("wrong", ["", "a" * (LONGEST_ID + 1), "a\x00", "a\n", "\x7f", "\x85", "\ud800"])
def test_an_external_id_has_no_control_characters(wrong: str) -> None:
    """Nor is it empty, or longer than 255 code points."""
    assert external_id_problem(wrong) is not None


@pytest.mark.parametrize("right", ["1", "a" * LONGEST_ID, "ü" * LONGEST_ID, " ", "日本", "a\u202eb", "."])
def test_an_external_id_may_be_any_other_text(right: str) -> None:
    """It is compared as it is, byte for byte."""
    assert external_id_problem(right) is None
