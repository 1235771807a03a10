"""The site ends people: sessions, codes and keys of thousands are dead when one request is answered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest

from services.auth_api.accounts.administration import enable_user
from services.auth_api.accounts.identities import Identity, Introduction, account_of
from services.auth_api.sessions.service import start_session
from shared.api_key import SERVICE_KEY, mint_key
from tests.harness.site import Person, bearer
from tests.harness.stores import Servers
from tests.integration.auth_api.conftest import Registry, RegistryStarter, running_registry
from tests.integration.auth_api.test_login_handoff import service_key

PEOPLE = "/api/v1/external-users"


class Desk:
    """The site's server, and people whom it knows."""

    def __init__(self, registry: Registry, key: str) -> None:
        """``key`` is a service key that may end people."""
        self.registry = registry
        self.headers = bearer(key)

    async def person(self, external_id: str, issuer: str = "site") -> Person:
        """Somebody whom the site has signed in."""
        account = await account_of(self.registry.resources, Identity(issuer, external_id), Introduction())
        person = await self.registry.site.visitor()
        person.http.cookies["latchkey_session"] = await start_session(self.registry.resources, account)
        person.username, person.user_id = account.username, account.user_id
        return person

    async def end(self, external_id: str, **query: str) -> int:
        """DELETE; the status."""
        answer = await self.registry.site.http.delete(
            f"{PEOPLE}/{external_id}", params=query, headers=self.headers
        )
        return answer.status_code

    async def end_many(self, **body: object) -> httpx.Response:
        """POST; the answer."""
        return await self.registry.site.http.post(f"{PEOPLE}/end", json=body, headers=self.headers)

    async def is_live(self, key: str) -> bool:
        """Whether a key is accepted now."""
        return (await self.registry.issuer.verify(key)).status_code == 200


@pytest.fixture(scope="module")
async def desk(servers: Servers) -> AsyncIterator[Desk]:
    """Services, and the site's server."""
    async with running_registry(servers, THROTTLE="off") as registry:
        yield Desk(registry, service_key(registry, "users"))


async def test_everything_of_a_person_is_dead(desk: Desk) -> None:
    """Keys, the session, and a code that was given before; again it is 204, and somebody else lives on."""
    name, other_name = secrets.token_hex(4), secrets.token_hex(4)
    person, other = await desk.person(name), await desk.person(other_name)
    client = await other.create_client()
    key = (await person.give_key(client))["access_token"]
    own = (await person.create_key("CLI", ["customise_score"]))["token"]
    kept = (await other.create_key("CLI", ["customise_score"]))["token"]
    code = await person.create_code(client)
    assert [await desk.is_live(each) for each in (key, own, kept)] == [True] * 3

    statuses = [await desk.end(name), await desk.end(name)]

    assert statuses == [204, 204]
    assert [await desk.is_live(each) for each in (key, own, kept)] == [False, False, True]
    assert (await person.http.get("/api/v1/session")).status_code == 401
    assert (await desk.registry.site.exchange(client, code)).json()["error"] == "invalid_grant"
    (row,) = await desk.registry.sql(
        "SELECT end_reason FROM keys.api_keys WHERE user_id = $1 AND client_id IS NULL", person.user_id
    )
    assert row["end_reason"] == "user_ended"
    lines = await desk.registry.sql(
        "SELECT actor FROM auth.audit WHERE action = 'user.disabled' AND subject = $1",
        f"user:{person.user_id}",
    )
    assert {line["actor"] for line in lines} == {"service"}


async def test_an_account_that_is_opened_again_has_no_key_of_before(desk: Desk) -> None:
    """What ended stays dead."""
    name = secrets.token_hex(4)
    person = await desk.person(name)
    key = (await person.create_key("CLI", ["customise_score"]))["token"]
    await desk.end(name)

    await enable_user(desk.registry.resources, person.username)
    again = await desk.person(name)

    assert again.user_id == person.user_id
    assert not await desk.is_live(key)
    assert await desk.is_live((await again.create_key("CLI", ["customise_score"]))["token"])


async def test_an_issuer_narrows_whom_an_id_means(desk: Desk) -> None:
    """Without one the id ends in every namespace."""
    name = secrets.token_hex(4)
    mine, theirs = await desk.person(name), await desk.person(name, "https://login.example")

    narrowed = await desk.end(name, issuer="https://login.example")

    assert narrowed == 204
    assert (await theirs.http.get("/api/v1/session")).status_code == 401
    assert (await mine.http.get("/api/v1/session")).status_code == 200
    assert await desk.end(name, issuer="https://nobody.example") == 404
    assert await desk.end(name) == 204
    assert (await mine.http.get("/api/v1/session")).status_code == 401


async def test_ids_that_nobody_has_are_named(desk: Desk) -> None:
    """In the order in which they were given, each once; the others end."""
    name = secrets.token_hex(4)
    await desk.person(name)

    answer = await desk.end_many(externalIDs=["..", name, "nobody", "..", name])

    assert (answer.status_code, answer.json()) == (200, {"ended": 1, "unknown": ["..", "nobody"]})
    assert await desk.end("nobody") == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "externalIDs"),
        ({"externalIDs": []}, "externalIDs"),
        ({"externalIDs": ["a", ""]}, "externalIDs.1"),
        ({"externalIDs": ["a\u0007"]}, "externalIDs.0"),
        ({"externalIDs": [7]}, "externalIDs.0"),
        ({"externalIDs": ["a"] * 10_001}, "externalIDs"),
        ({"externalIDs": ["a"], "issuer": ""}, "issuer"),
        ({"externalIDs": ["a"], "all": True}, "all"),
    ],
)
async def test_a_wrong_list_names_the_field(desk: Desk, body: dict[str, object], field: str) -> None:
    """400, and nobody ends."""
    answer = await desk.end_many(**body)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_only_a_service_key_that_may_end_people_is_heard(desk: Desk) -> None:
    """401 without one, 403 for one that may only sign people in."""
    other = service_key(desk.registry, "sign-in")
    site = desk.registry.site.http

    none = await site.post(f"{PEOPLE}/end", json={"externalIDs": ["a"]})
    wrong = await site.delete(f"{PEOPLE}/a", headers=bearer(other))

    assert (none.status_code, wrong.status_code) == (401, 403)


async def test_two_lists_at_once_end_all(desk: Desk) -> None:
    """In opposite orders: neither waits for the other in a circle."""
    names = [secrets.token_hex(4) for _ in range(40)]
    people = [await desk.person(name) for name in names]

    answers = await asyncio.gather(
        *(desk.end_many(externalIDs=names if turn % 2 else names[::-1]) for turn in range(6))
    )

    assert {answer.json()["ended"] for answer in answers} == {40}
    sessions = [await person.http.get("/api/v1/session") for person in people]
    assert {session.status_code for session in sessions} == {401}


async def test_whoever_tries_service_keys_is_slowed_down(start_registry: RegistryStarter) -> None:
    """Each well-formed one asks key_issuer, and so a peer has only so many that are wrong; a right one counts for nothing."""
    async with start_registry() as registry:
        settings, right = registry.resources.settings, service_key(registry, "users")
        wrong = [mint_key(settings.key_prefix, SERVICE_KEY, settings.public_url).token for _ in range(40)]
        address = f"{PEOPLE}/nobody"

        statuses = [
            (await registry.site.http.delete(address, headers=bearer(key))).status_code
            for key in (right, *wrong)
        ]

    assert statuses[:31] == [404, *[401] * 30]
    assert set(statuses[-5:]) == {429}
