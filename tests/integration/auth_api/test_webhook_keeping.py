"""What becomes of deliveries in whatever process: taken over, given back, sent once, trimmed and purged (interface §5)."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter

import pytest
from aiohttp import web

from services.auth_api.webhooks import recording, sender
from services.auth_api.webhooks.recording import record_revoked_grants
from services.auth_api.webhooks.sender import HOUSE_SECONDS, NEWEST_KEPT, WebhookSender
from services.auth_api.webhooks.taking import (
    LEASE_MS,
    take_turns,
)
from shared.contracts.events import ChangedKey, KeysChanged
from shared.purge import Purge
from tests.harness.webhooks import Heard, Receiver, answering
from tests.integration.auth_api.webhook_office import DAY, Office
from tests.integration.key_issuer.conftest import until


async def test_what_a_dead_process_had_in_hand_is_sent_when_its_lease_ends(
    office: Office, receiver: Receiver
) -> None:
    """Not before: until then it may be at work. A try that was cut short does not count."""
    client = await office.client(receiver.url)
    await office.tell(client.client_id, 5)
    assert len(await take_turns(office.resources, {})) == 1  # and then it is killed

    office.later(LEASE_MS / 1000 - 2)
    assert await office.send() == 0
    office.later(4)
    assert await office.send() == 1
    assert len(receiver.heard) == 5
    assert {(row["status"], row["tries"]) for row in await office.rows(client)} == {("delivered", 1)}


async def test_a_process_that_was_thought_dead_changes_nothing_when_it_comes_back(
    office: Office, receiver: Receiver
) -> None:
    """Its lease ended, another has tried since: what it says of its own try is late."""
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    turns = await take_turns(office.resources, {})
    office.later(LEASE_MS / 1000 + 1)
    await office.send()
    receiver.answer = answering(500)
    office.sender.begin(turns)
    await office.sender.settle()
    assert len(receiver.heard) == 2
    assert await office.statuses(client) == {"delivered": 1}


async def test_a_sender_that_is_stopped_gives_back_what_it_had(office: Office, receiver: Receiver) -> None:
    """Another one sends it at once; nothing waits for a lease."""
    begun = asyncio.Event()

    async def hang(_heard: Heard) -> web.StreamResponse:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    receiver.answer = hang
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    running = asyncio.create_task(office.sender.run())
    await begun.wait()
    running.cancel()
    await asyncio.wait([running])
    (row,) = await office.rows(client)
    assert (row["status"], row["tries"]) == ("waiting", 0)
    assert row["due_on"] <= office.clock.now()


async def test_two_senders_send_each_delivery_once(office: Office, receiver: Receiver) -> None:
    """They take different ones, also of the same client."""
    clients = [await office.client(f"{receiver.url}/{number}") for number in range(3)]
    for client in clients:
        await office.tell(client.client_id, 100)
    async with office.replica() as second:
        await asyncio.gather(drain(office.sender), drain(second))
    await office.send()
    assert len(receiver.heard) == len({heard.webhook_id for heard in receiver.heard}) == 300


async def drain(each: WebhookSender) -> None:
    """Sends all that is due."""
    while await each.begin_turns():
        await each.settle()


async def test_nothing_is_lost_where_a_receiver_fails_half_of_the_time(
    office: Office, receiver: Receiver
) -> None:
    """Every delivery is accepted in the end, and each accepted one only once."""
    chance = random.Random(16)
    accepted: Counter[str] = Counter()

    async def moody(heard: Heard) -> web.StreamResponse:
        if chance.random() < 0.5:
            return web.Response(status=chance.choice([302, 400, 429, 500, 503]))
        accepted[heard.webhook_id] += 1
        return web.Response()

    receiver.answer = moody
    clients = [await office.client(f"{receiver.url}/{number}") for number in range(3)]
    for client in clients:
        await office.tell(client.client_id, 100)
    for pause in (0, 7, 400, 3_000, 10_000, 30_000, 50_000, 70_000, 90_000, 110_000):
        office.later(pause)
        await office.send()
    lost = [row for client in clients for row in await office.rows(client) if row["status"] != "delivered"]
    assert len(lost) <= 3  # one of 1,024 fails ten times
    assert {row["tries"] for row in lost} <= {10}
    assert len(accepted) == 300 - len(lost)
    assert set(accepted.values()) == {1}


async def test_what_is_dropped_is_kept_no_longer_than_what_was_sent(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who makes and ends keys in a loop, or sets and clears an address, fills no table; of a deleted client all goes."""
    monkeypatch.setattr(sender, "NEWEST_KEPT", 10)
    monkeypatch.setattr(recording, "MOST_OF_PERSON", 20)
    looping, clearing, deleted = [await office.client("https://dead.invalid/") for _ in range(3)]
    for user_id, client in enumerate((looping, clearing, deleted)):
        await office.tell(client.client_id, 50, user_id=user_id, one_person=True)
    await office.set_address(clearing, None)
    await office.delete(deleted)
    await office.sql(
        "UPDATE webhook_deliveries SET due_on = due_on + 3600000 WHERE client_id = $1 AND due_on IS NOT NULL",
        looping.client_id,
    )
    await office.sql(
        "UPDATE webhook_endpoints SET due_on = due_on + 3600000 WHERE client_id = $1", looping.client_id
    )
    running = asyncio.create_task(office.sender.run())

    async def are_trimmed() -> bool:
        office.later(HOUSE_SECONDS)
        office.resources.deliveries.kick()
        found = [await office.statuses(client) for client in (looping, clearing, deleted)]
        return found == [{"waiting": 20, "dropped": 10}, {"dropped": 10}, {"waiting": 20}]

    await until(are_trimmed)
    running.cancel()
    await asyncio.wait([running])


async def test_finished_deliveries_are_kept_for_a_while_and_in_number(
    office: Office, receiver: Receiver
) -> None:
    """The newest of each client, and of them none older than a month; what waits stays."""
    client = await office.client(receiver.url)
    for _ in range(3):
        await office.tell(client.client_id, NEWEST_KEPT // 2)
        await office.sql(
            "UPDATE webhook_deliveries SET status = 'delivered', due_on = NULL, ended_on = queued_on WHERE due_on IS NOT NULL"
        )
    await office.tell(client.client_id)
    running = asyncio.create_task(office.sender.run())
    await receiver.wait_for(1)
    async with asyncio.timeout(20):
        while await office.statuses(client) != {"delivered": NEWEST_KEPT}:
            office.later(HOUSE_SECONDS)
            office.resources.deliveries.kick()
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait([running])
    await office.sql("UPDATE webhook_deliveries SET ended_on = ended_on - $1::bigint", 31 * DAY)
    await office.tell("unknown")
    await office.tell(client.client_id)
    await Purge(office.resources.database, {"purge_webhook_deliveries": 30}).purge()
    assert await office.statuses(client) == {"waiting": 1}


async def test_a_deleted_clients_address_is_kept_while_anything_waits(
    office: Office, receiver: Receiver
) -> None:
    """Four days, and longer where tries are still due."""
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    await office.delete(client)
    purge = Purge(office.resources.database, {"purge_webhook_endpoints": 4})
    assert await purge.purge() == 0
    await office.sql("UPDATE webhook_endpoints SET deleted_on = deleted_on - $1::bigint", 5 * DAY)
    assert await purge.purge() == 0
    await office.send()
    assert await purge.purge() == 1
    assert len(receiver.heard) == 1


async def test_events_and_revocations_of_the_same_clients_wait_for_one_another_in_one_order(
    office: Office,
) -> None:
    """Whatever the collation of the database: two that go different ways would end in a deadlock."""
    person = await office.person()
    clients = [await office.client(f"https://one{number}.invalid/") for number in range(12)]
    for client in clients:
        await office.connect(person, client)
    queries = office.resources.database.sql
    for name in ("queue_webhooks", "insert_revoked_grants"):
        assert 'ORDER BY client_id COLLATE "C"' in queries[name]

    async def end() -> None:
        async with office.resources.database.transaction() as connection:
            now = office.clock.now()
            await record_revoked_grants(
                office.resources, connection, "app_disconnected", now, user_ids=(person,)
            )

    async def hear() -> None:
        keys = [
            ChangedKey(key_id=secrets.token_hex(8), user_id=person, client_id=c.client_id) for c in clients
        ]
        random.shuffle(keys)
        now = office.clock.now()
        await office.hear([KeysChanged(change="revoked", reason="person", on=now, keys=tuple(keys))])

    await asyncio.gather(*(each() for each in (end, hear) * 15))
    (row,) = await office.sql("SELECT count(*) FROM webhook_deliveries WHERE due_on IS NOT NULL")
    assert row["count"] == 2 * 15 * 12
