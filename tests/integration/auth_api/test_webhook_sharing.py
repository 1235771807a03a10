"""Many endpoints and several senders: who gets a turn, who takes over, and that nothing is lost (interface §5)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from services.auth_api.clients.model import Client
from services.auth_api.webhooks import recording, sender, taking
from services.auth_api.webhooks.endpoints import TOO_MANY
from services.auth_api.webhooks.recording import MOST_OF_PERSON, record_revoked_grants
from services.auth_api.webhooks.sender import HOUSE_SECONDS, NEWEST_KEPT, SLOW_MS, WebhookSender
from services.auth_api.webhooks.taking import (
    LEASE_MS,
    MOST_OF_A_KIND,
    MOST_OF_TURN,
    MOST_TURNS,
    MOST_TURNS_OF_HOST,
    Turn,
    take_turns,
)
from shared.purge import Purge
from tests.harness.stores import Servers
from tests.harness.tls import Authority
from tests.harness.webhooks import Heard, Receiver, answering, receiving
from tests.integration.auth_api.webhook_office import DAY, Office, opened_office
from tests.integration.key_issuer.conftest import until


@pytest.fixture
async def office(servers: Servers, authority: Authority) -> AsyncIterator[Office]:
    """Stores and a sender of the test's own."""
    async with opened_office(servers) as office:
        yield office


@pytest.fixture
async def other(authority: Authority) -> AsyncIterator[Receiver]:
    """A program at another host."""
    async with receiving(authority, "127.0.0.2") as receiver:
        yield receiver


async def test_ten_thousand_for_an_endpoint_that_hangs_delay_nobody_else(
    office: Office, receiver: Receiver, other: Receiver
) -> None:
    """The other's first try is in the very next look, however much waits before it; the dead one holds one turn."""
    released = asyncio.Event()

    async def hang(_heard: Heard) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    receiver.answer = hang
    dead = await office.client(receiver.url)
    await office.tell(dead.client_id, 10_000)
    await office.sender.begin_turns()
    await receiver.wait_for(MOST_OF_TURN)
    office.later(3)
    client = await office.client(other.url)
    await office.tell(client.client_id, 5)

    assert await office.sender.begin_turns() == 1
    await other.wait_for(5)

    assert len(receiver.heard) == MOST_OF_TURN
    released.set()
    await office.sender.settle()


async def test_whoever_waits_longest_has_the_next_turn(
    office: Office, receiver: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client with hundreds of due deliveries gets a few at a time, another's come between them; here is room for one."""
    order: list[str] = []
    for each in (receiver, other):

        async def note(heard: Heard) -> web.StreamResponse:
            order.append(heard.event["data"]["clientID"])
            return web.Response()

        each.answer = note
    much, little = await office.client(receiver.url), await office.client(other.url)
    for client in (much, little):
        await office.tell(client.client_id)
    await office.send()
    order.clear()
    monkeypatch.setattr(taking, "MOST_TURNS", 1)
    await office.tell(much.client_id, 200)
    office.later(1)
    await office.tell(little.client_id, 20)
    await office.send()
    places = [place for place, client_id in enumerate(order) if client_id == little.client_id]
    assert Counter(order) == {much.client_id: 200, little.client_id: 20}
    assert places[-1] < 100


async def test_strangers_endpoints_that_hang_leave_room_for_those_that_are_known(
    office: Office, receiver: Receiver
) -> None:
    """However many are new, or set anew, they hold a part of the turns at most; so does one host, whoever's clients those are."""
    known = await office.client(receiver.url)
    await office.tell(known.client_id)
    await office.send()
    strangers = [
        await office.client(f"https://hangs{number}.example.com/") for number in range(MOST_TURNS + 2)
    ]
    for client in strangers:
        await office.tell(client.client_id)
        await office.set_address(client, client.webhook_uri)
    office.later(1)
    turns = await take_turns(office.resources, {})
    assert len(turns) == MOST_OF_A_KIND
    running = {turn.client_id: turn for turn in turns}
    assert await take_turns(office.resources, running) == []
    await office.tell(known.client_id)
    (turn,) = await take_turns(office.resources, running)
    assert turn.client_id == known.client_id


async def test_known_endpoints_leave_room_for_new_ones(
    office: Office, receiver: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is sent to those that answer at once, a new one gets its first try."""
    monkeypatch.setattr(taking, "MOST_TURNS", 2)
    monkeypatch.setattr(taking, "MOST_OF_A_KIND", 1)
    known = [await office.client(f"{receiver.url}/{number}") for number in range(3)]
    for client in known:
        await office.tell(client.client_id)
    await office.send()
    for client in known:
        await office.tell(client.client_id, 100)
    new = await office.client(other.url)
    await office.tell(new.client_id)
    office.later(1)
    await office.sender.begin_turns()
    await office.sender.settle()
    assert len(other.heard) == 1


async def test_what_is_over_stands_in_nobodys_way(office: Office, other: Receiver) -> None:
    """Clients whose deliveries have ended, or were dropped, have no place in the queue, and none that holds others up."""
    author = await office.person()
    over = [await office.client(f"https://one{number}.example.com/", author) for number in range(18)]
    for number, client in enumerate(over):
        await office.tell(client.client_id)
        await office.sql(
            "UPDATE webhook_endpoints SET slow_until = $2, host = $1 WHERE client_id = $1",
            client.client_id,
            number % 2,
        )
    client = await office.client(other.url)
    await office.tell(client.client_id)
    await office.send()
    endpoint = await office.endpoint(client)
    assert endpoint is not None
    assert endpoint["due_on"] is None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taking, "MOST_TURNS", 4)
        patch.setattr(taking, "MOST_OF_A_KIND", 2)
        await office.sql(
            "UPDATE webhook_deliveries SET status = 'dropped', due_on = NULL, ended_on = 1 WHERE due_on IS NOT NULL"
        )
        await office.sql("UPDATE webhook_endpoints SET due_on = 1 WHERE client_id <> $1", client.client_id)
        await office.tell(client.client_id)
        assert await office.sender.begin_turns() == 1
    await office.sender.settle()
    assert len(other.heard) == 2


async def test_one_host_has_a_few_turns_at_most(office: Office) -> None:
    """Whoever's clients are there."""
    for _ in range(MOST_TURNS_OF_HOST + 3):
        client = await office.client("https://crowded.example.com/")
        await office.tell(client.client_id)
    turns = await take_turns(office.resources, {})
    assert len(turns) == MOST_TURNS_OF_HOST
    assert await take_turns(office.resources, {turn.client_id: turn for turn in turns}) == []


async def test_an_endpoint_that_was_slow_counts_as_slow_for_a_while(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One quick answer in between does not make it quick: it would hold others' turns every other time."""
    client = await office.client(receiver.url)
    for slow_after, seconds, counts in ((-1.0, 0, True), (99, 1, True), (99, SLOW_MS / 1000, False)):
        monkeypatch.setattr(sender, "SLOW_SECONDS", slow_after)
        office.later(seconds)
        await office.tell(client.client_id)
        await office.send()
        (turn,) = await taken_next(office, client)
        assert turn.slow is counts


async def taken_next(office: Office, client: Client) -> list[Turn]:
    """The next turn of a client, which is then over."""
    await office.tell(client.client_id)
    turns = await take_turns(office.resources, {})
    office.sender.begin(turns)
    await office.sender.settle()
    return turns


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


async def test_one_person_makes_us_keep_a_thousand_deliveries(office: Office) -> None:
    """Of more the oldest are dropped, over all clients; other people's stay."""
    clients = [await office.client("https://dead.example.com/") for _ in range(2)]
    for _ in range(MOST_OF_PERSON // 50 + 1):
        for client in clients:
            await office.tell(client.client_id, 50, user_id=5, one_person=True)
    await office.tell(clients[0].client_id, 3, user_id=6, one_person=True)
    rows = await office.sql(
        "SELECT user_id, status, count(*), min(number) AS first, max(number) AS last FROM webhook_deliveries GROUP BY 1, 2"
    )
    found = {(row["user_id"], row["status"]): row for row in rows}
    assert found[5, "waiting"]["count"] == MOST_OF_PERSON
    assert found[6, "waiting"]["count"] == 3
    assert found[5, "dropped"]["last"] < found[5, "waiting"]["first"]
    (row,) = await office.sql("SELECT DISTINCT last_failure FROM webhook_deliveries WHERE status = 'dropped'")
    assert row["last_failure"] == TOO_MANY


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


async def test_ten_thousand_people_ended_at_once_are_told_of_cheaply(office: Office) -> None:
    """Their grants are one statement for each 500, their keys one for each batch."""
    client = await office.client("https://shop.example.com/")
    await office.sql(
        "INSERT INTO users (username, created_on) SELECT 'many' || n, 1 FROM generate_series(1, 10000) AS n"
    )
    rows = await office.sql(
        "INSERT INTO grants SELECT user_id, $1, '{customise_score}', 1, 1 FROM users RETURNING user_id",
        client.client_id,
    )
    people = [row["user_id"] for row in rows]
    async with asyncio.timeout(20):
        for begin in range(0, len(people), 500):
            async with office.resources.database.transaction() as connection:
                await record_revoked_grants(
                    office.resources,
                    connection,
                    "user_ended",
                    office.clock.now(),
                    user_ids=people[begin : begin + 500],
                )
        await office.tell(client.client_id, 10_000, reason="user_ended")
    assert await office.statuses(client) == {"waiting": len(people) + 10_000}


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
