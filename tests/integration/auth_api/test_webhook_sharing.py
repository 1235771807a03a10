"""Many endpoints and several senders: who gets a turn, who takes over, and that nothing is lost (interface §5)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from services.auth_api.clients.model import Client
from services.auth_api.webhooks import sender, taking
from services.auth_api.webhooks.endpoints import TOO_MANY
from services.auth_api.webhooks.recording import MOST_OF_PERSON, record_revoked_grants
from services.auth_api.webhooks.sender import SLOW_MS
from services.auth_api.webhooks.taking import (
    MOST_OF_A_KIND,
    MOST_OF_TURN,
    MOST_TURNS,
    MOST_TURNS_OF_AUTHOR,
    MOST_TURNS_OF_HOST,
    Turn,
    take_turns,
)
from tests.harness.tls import Authority
from tests.harness.webhooks import Heard, Receiver, receiving
from tests.integration.auth_api.webhook_office import Office


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


async def test_one_author_has_a_few_turns_at_most(office: Office) -> None:
    """At whatever hosts, and also for clients that were deleted; the operator's own clients are not counted together."""
    author = await office.person()
    clients = [
        await office.client(f"https://many{number}.example.com/", author)
        for number in range(MOST_TURNS_OF_AUTHOR + 3)
    ]
    for client in clients:
        await office.tell(client.client_id)
    for client in clients[:2]:
        await office.delete(client)
    office.later(1)
    others = [await office.client(f"https://own{number}.example.com/") for number in range(7)]
    await office.sql(
        "UPDATE clients SET author_id = NULL WHERE client_id = ANY ($1)",
        [client.client_id for client in others],
    )
    for client in others:
        await office.tell(client.client_id)
    turns = await take_turns(office.resources, {})
    assert len(turns) == MOST_TURNS_OF_AUTHOR + len(others)
    assert await take_turns(office.resources, {turn.client_id: turn for turn in turns}) == []


async def test_an_endpoint_that_was_slow_counts_as_slow_for_a_while(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One quick answer in between does not make it quick: it would hold others' turns every other time. Nor does silence."""
    client = await office.client(receiver.url)
    looks = ((-1.0, 0, True), (99, 1, True), (99, SLOW_MS / 1000, True), (99, 1, False))
    for slow_after, seconds, counts in looks:
        monkeypatch.setattr(sender, "SLOW_SECONDS", slow_after)
        office.later(seconds)
        (turn,) = await taken_next(office, client)
        assert turn.slow is counts


async def taken_next(office: Office, client: Client) -> list[Turn]:
    """The next turn of a client, which is then over."""
    await office.tell(client.client_id)
    turns = await take_turns(office.resources, {})
    office.sender.begin(turns)
    await office.sender.settle()
    return turns


async def test_one_person_makes_us_keep_a_few_deliveries_for_a_client(office: Office) -> None:
    """Of more the oldest are dropped; what waits for other clients, and of other people, stays."""
    flooded, other = [await office.client("https://dead.example.com/") for _ in range(2)]
    await office.tell(other.client_id, 3, user_id=5, one_person=True)
    for _ in range(MOST_OF_PERSON // 50 + 1):
        await office.tell(flooded.client_id, 50, user_id=5, one_person=True)
    await office.tell(flooded.client_id, 3, user_id=6, one_person=True)
    assert await office.statuses(other) == {"waiting": 3}
    rows = await office.sql(
        "SELECT user_id, status, count(*), min(number) AS first, max(number) AS last FROM webhook_deliveries"
        " WHERE client_id = $1 GROUP BY 1, 2",
        flooded.client_id,
    )
    found = {(row["user_id"], row["status"]): row for row in rows}
    assert found[5, "waiting"]["count"] == MOST_OF_PERSON
    assert found[6, "waiting"]["count"] == 3
    assert found[5, "dropped"]["last"] < found[5, "waiting"]["first"]
    (row,) = await office.sql("SELECT DISTINCT last_failure FROM webhook_deliveries WHERE status = 'dropped'")
    assert row["last_failure"] == TOO_MANY


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
