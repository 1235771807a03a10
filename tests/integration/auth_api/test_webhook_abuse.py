"""Who makes things end twice, by the thousand, or for somebody else's server: each end is told once, and nobody's is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest

from services.auth_api.accounts.administration import disable_user
from services.auth_api.clients.model import Client
from services.auth_api.grants.connected_apps import revoke_access
from services.auth_api.own_login.endings import end_external_people
from shared.errors import StoreUnavailable
from tests.harness.stores import Servers
from tests.harness.tls import Authority
from tests.integration.auth_api.webhook_office import Office, opened_office
from tests.integration.key_issuer.conftest import until


@pytest.fixture
async def office(servers: Servers, authority: Authority) -> AsyncIterator[Office]:
    """Stores and a sender of the test's own."""
    async with opened_office(servers) as office:
        yield office


async def told_of_grants(office: Office, client: Client) -> list[str]:
    """Why grants of a client were said to end, once for each time."""
    return [
        str(row["reason"])
        for row in await office.sql(
            "SELECT convert_from(body, 'UTF8')::json #>> '{data,reason}' AS reason FROM webhook_deliveries"
            " WHERE client_id = $1 AND type = 'grant.revoked'",
            client.client_id,
        )
    ]


async def done_by_half(work: Awaitable[object]) -> None:
    """Something whose part at the issuer is left to the event: none runs here."""
    try:
        await work
    except* StoreUnavailable:
        pass


async def both(office: Office, holding: str, *works: Awaitable[object]) -> None:
    """Begins all of it while a row is held, and lets go of that once each waits for a lock: they meet for certain."""
    async with office.resources.database.transaction() as connection:
        await connection.execute(holding)
        running = [asyncio.ensure_future(done_by_half(work)) for work in works]

        async def wait() -> bool:
            waiting = await office.sql(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return len(waiting) == len(works)

        await until(wait)
    await asyncio.gather(*running)


async def test_two_clicks_that_disconnect_an_app_are_one_event(office: Office) -> None:
    """Whoever comes second finds that nothing is left."""
    client = await office.client("https://shop.example.com/")
    person = await office.person()
    await office.connect(person, client)
    await both(
        office,
        "SELECT FROM grants FOR UPDATE",
        revoke_access(office.resources, person, client.client_id),
        revoke_access(office.resources, person),
    )
    assert await told_of_grants(office, client) == ["app_disconnected"]


async def test_a_person_who_goes_while_the_client_goes_is_told_of_once(office: Office) -> None:
    """The person disconnects while the author deletes the client."""
    client = await office.client("https://shop.example.com/")
    person = await office.person()
    await office.connect(person, client)
    await both(
        office,
        "SELECT FROM grants FOR UPDATE",
        revoke_access(office.resources, person),
        office.delete(client),
    )
    assert len(await told_of_grants(office, client)) == 1


async def test_an_account_that_ends_twice_in_one_millisecond_is_told_of_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the operator, twice, and by the site: the time cannot tell who was first. The consent stands no more, as was told."""
    client = await office.client("https://shop.example.com/")
    person = await office.person("ada")
    (row,) = await office.sql("SELECT username FROM users WHERE user_id = $1", person)
    await office.connect(person, client)
    now = office.clock.now()
    monkeypatch.setattr(office.clock, "now", lambda: now)
    await both(
        office,
        "SELECT FROM users FOR UPDATE",
        disable_user(office.resources, row["username"]),
        disable_user(office.resources, row["username"]),
        end_external_people(office.resources, ["ada"], None, actor="key:x", peer=""),
    )
    assert len(await told_of_grants(office, client)) == 1
    assert await office.sql("SELECT FROM grants") == []
