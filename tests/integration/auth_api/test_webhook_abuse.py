"""Who makes things end twice, by the thousand, or for somebody else's server: each end is told once, and nobody's is lost."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable

import pytest
from aiohttp import web

from services.auth_api.accounts.administration import disable_user
from services.auth_api.clients.model import Client
from services.auth_api.grants.connected_apps import revoke_access
from services.auth_api.grants.store import record_grant
from services.auth_api.own_login.endings import end_external_people
from shared.contracts.events import ChangedKey, KeysChanged
from shared.errors import StoreUnavailable
from tests.harness.webhooks import Heard, Receiver
from tests.integration.auth_api.webhook_office import Office
from tests.integration.key_issuer.conftest import until


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


async def are_waiting(office: Office, number: int) -> bool:
    """Whether so many connections wait for a lock."""
    waiting = await office.sql(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return len(waiting) == number


async def both(office: Office, holding: str, *works: Awaitable[object]) -> None:
    """Begins all of it while a row is held, and lets go of that once each waits for a lock: they meet for certain."""
    async with office.resources.database.transaction() as connection:
        await connection.execute(holding)
        running = [asyncio.ensure_future(done_by_half(work)) for work in works]

        await until(lambda: are_waiting(office, len(works)))
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


async def test_a_consent_beside_the_end_of_the_account_is_none(office: Office) -> None:
    """It would stand untold, and come back with the account."""
    client = await office.client("https://shop.example.com/")
    person = await office.person()
    now = office.clock.now()
    async with office.resources.database.transaction() as connection:
        await connection.execute("UPDATE users SET disabled_on = 1")
        consenting = asyncio.create_task(
            record_grant(office.resources, person, client.client_id, ["customise_score"], now)
        )

        async def waits_or_is_over() -> bool:
            return consenting.done() or await are_waiting(office, 1)

        await until(waits_or_is_over)
    assert not await consenting
    assert await office.sql("SELECT FROM grants") == []


def narrowings(office: Office, client: Client, user_id: int, key_id: str, reason: str) -> list[KeysChanged]:
    """What key_issuer says of a key that is turned down a hundred times, a little each time."""
    key = ChangedKey(key_id=key_id, user_id=user_id, client_id=client.client_id)
    return [
        KeysChanged.model_validate(
            {"change": "narrowed", "reason": reason, "on": office.clock.now(), "keys": (key,)}
        )
        for _ in range(100)
    ]


async def test_a_key_turned_down_a_thousand_times_waits_once(office: Office) -> None:
    """By a millisecond each time, or paused and resumed in a loop. What ended elsewhere meanwhile is still told."""
    flooded, other = [await office.client("https://dead.example.com/") for _ in range(2)]
    await office.tell(other.client_id, user_id=5)
    await office.tell(flooded.client_id, user_id=5)
    for _ in range(11):
        for reason in ("expiry", "paused"):
            for key_id in ("a" * 16, "b" * 16):
                await office.hear(narrowings(office, flooded, 5, key_id, reason))
    assert await office.statuses(other) == {"waiting": 1}
    assert await office.statuses(flooded) == {"waiting": 5}
    newest = [row["happened_on"] for row in await office.rows(flooded)][1:]
    assert min(newest) >= office.clock.now() - 5_000


async def test_a_narrowing_in_hand_does_not_stand_for_a_later_one(office: Office, receiver: Receiver) -> None:
    """It may have been heard, and asked about, before the key was narrowed again."""
    client = await office.client(receiver.url)
    began, may_end = asyncio.Event(), asyncio.Event()

    async def hold(_heard: Heard) -> web.StreamResponse:
        began.set()
        await may_end.wait()
        return web.Response()

    receiver.answer = hold
    await office.hear(narrowings(office, client, 5, "a" * 16, "expiry")[:1])
    await office.sender.begin_turns()
    await began.wait()
    await office.hear(narrowings(office, client, 5, "a" * 16, "expiry")[:1])
    may_end.set()
    await office.sender.settle()
    await office.send()
    assert len(receiver.heard) == 2


async def test_the_end_of_an_account_with_thousands_of_apps_reaches_each(office: Office) -> None:
    """One event for each grant and one for each key, however many; and in a bearable time."""
    first = await office.client("https://shop.example.com/")
    person = await office.person("ada")
    await office.sql(
        "INSERT INTO clients SELECT (json_populate_record(c, json_build_object('client_id', 'many' || n))).*"
        " FROM clients AS c, generate_series(1, 10000) AS n"
    )
    await office.sql(
        "INSERT INTO grants SELECT $1, client_id, '{customise_score}', 1, 1 FROM clients", person
    )
    async with asyncio.timeout(30):
        await done_by_half(end_external_people(office.resources, ["ada"], None, actor="key:x", peer=""))
        ids = [row["client_id"] for row in await office.sql("SELECT client_id FROM clients")]
        for begin in range(0, len(ids), 1_000):
            await office.hear(
                [
                    KeysChanged(
                        change="revoked",
                        reason="user_ended",
                        on=office.clock.now(),
                        keys=(ChangedKey(key_id=secrets.token_hex(8), user_id=person, client_id=client_id),),
                    )
                    for client_id in ids[begin : begin + 1_000]
                ]
            )
    rows = await office.sql("SELECT type, status, count(*) FROM webhook_deliveries GROUP BY 1, 2")
    assert {tuple(row) for row in rows} == {
        ("grant.revoked", "waiting", 10_001),
        ("key.revoked", "waiting", 10_001),
    }
    assert await office.statuses(first) == {"waiting": 2}
