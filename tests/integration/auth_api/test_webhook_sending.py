"""Webhooks as endpoints see them: what is sent, when again, and what counts as success (interface §5)."""

from __future__ import annotations

import asyncio
import email.utils
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from services.auth_api.webhooks.console import (
    UnknownDeliveryError,
    list_deliveries,
    replay_delivery,
    send_test,
)
from shared.contracts.events import ChangedKey, KeysChanged
from shared.pauses import WEBHOOK_PAUSES
from shared.version import VERSION
from tests.harness.webhooks import Heard, Receiver, answering
from tests.integration.auth_api.webhook_office import Office


async def test_an_event_is_one_request_as_the_specification_says(office: Office, receiver: Receiver) -> None:
    """The headers, the body's members in their order, and a signature that the published library accepts."""
    client = await office.client(receiver.url + "/hooks?site=1")
    changed = ChangedKey(key_id="k1", user_id=7, external_user='Zoë "z"', client_id=client.client_id)
    on = office.clock.now()
    await office.hear([KeysChanged(change="revoked", reason="person", on=on, keys=(changed,))])

    assert await office.send() == 1

    (heard,) = receiver.heard
    await office.verify(client, heard)
    assert heard.path == "/hooks"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["user-agent"] == f"Latchkey/{VERSION}"
    assert heard.headers["webhook-signature"].split(",")[0] == "v1"
    at = datetime.fromtimestamp(on / 1000, UTC)
    assert json.loads(heard.body) == {
        "type": "key.revoked",
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{on % 1000:03}Z",
        "data": {
            "keyID": "k1",
            "userID": 7,
            "externalUser": 'Zoë "z"',
            "clientID": client.client_id,
            "reason": "person",
        },
    }
    assert list(heard.event["data"]) == ["keyID", "userID", "externalUser", "clientID", "reason"]
    (row,) = await office.rows(client)
    assert (row["status"], row["tries"], row["last_status"], row["webhook_id"]) == (
        "delivered",
        1,
        204,
        heard.webhook_id,
    )


async def test_an_event_that_comes_again_is_sent_once(office: Office, receiver: Receiver) -> None:
    """Redelivered by the bus, before or after it was sent, by whichever process: the id follows from the event."""
    client = await office.client(receiver.url)
    keys = tuple(ChangedKey(key_id=f"k{n}", user_id=n, client_id=client.client_id) for n in range(50))
    message = KeysChanged(change="expired", reason="expired", on=office.clock.now(), keys=keys)
    await asyncio.gather(*(office.hear([message, message], "0199-1") for _ in range(3)))
    await office.send()
    await office.hear([message], "0199-1")
    await office.send()

    assert len(receiver.heard) == len({heard.webhook_id for heard in receiver.heard}) == 50
    assert await office.statuses(client) == {"delivered": 50}


async def test_ten_tries_over_three_days_with_the_same_id_and_bytes(
    office: Office, receiver: Receiver
) -> None:
    """Each signed anew for its own time, with jitter of a fifth at most; then it has failed."""
    receiver.answer = answering(500)
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    for number, pause in enumerate((*WEBHOOK_PAUSES, None), 1):
        assert await office.send() == 1
        assert await office.send() == 0
        (row,) = await office.rows(client)
        assert row["tries"] == len(receiver.heard) == number
        if pause is not None:
            waits = (row["due_on"] - row["last_tried_on"]) / 1000
            assert pause <= waits <= pause * 1.2 + 0.001
            office.later(waits - 0.5)
            assert await office.send() == 0
            office.later(1)

    (row,) = await office.rows(client)
    assert (row["status"], row["due_on"], row["last_status"]) == ("failed", None, 500)
    assert len({(heard.webhook_id, heard.body) for heard in receiver.heard}) == 1
    assert len({heard.headers["webhook-timestamp"] for heard in receiver.heard}) == 10
    assert len({heard.headers["webhook-signature"] for heard in receiver.heard}) == 10


@pytest.mark.parametrize("kind", ["seconds", "date", "much"])
async def test_retry_after_postpones_a_day_at_most(office: Office, receiver: Receiver, kind: str) -> None:
    """In seconds or as a date of HTTP (RFC 9110 §10.2.3)."""
    at = datetime.fromtimestamp(office.clock.now() / 1000 + 100, UTC)
    text = {"seconds": "100", "date": email.utils.format_datetime(at, usegmt=True), "much": "999999999"}[kind]
    receiver.answer = answering(503, Retry_After=text)
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    await office.send()

    (row,) = await office.rows(client)
    waits = (row["due_on"] - row["last_tried_on"]) / 1000
    assert waits == 86_400 if kind == "much" else 90 < waits <= 101


async def test_retry_after_never_hastens(office: Office, receiver: Receiver) -> None:
    """A try is due no sooner than planned, whatever the endpoint says."""
    client = await office.client(receiver.url)
    for text in ("0", "-5", "soon", "Mon, 01 Jan 1990 00:00:00 GMT", "1" * 500):
        receiver.answer = answering(429, Retry_After=text)
        await office.tell(client.client_id)
        await office.send()
    for row in await office.rows(client):
        assert 5_000 <= row["due_on"] - row["last_tried_on"] <= 6_000


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 199 + 200, 404, 418, 501])
async def test_only_2xx_is_success(office: Office, receiver: Receiver, status: int) -> None:
    """A redirect is not followed."""
    receiver.answer = answering(status, Location=f"{receiver.url}/elsewhere")
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    await office.send()
    (row,) = await office.rows(client)
    assert (row["status"], row["last_status"], row["tries"]) == ("waiting", status, 1)
    assert [heard.path for heard in receiver.heard] == ["/"]


async def test_the_status_line_decides(office: Office, receiver: Receiver) -> None:
    """A body that never ends neither holds a try nor makes it fail."""
    ended = asyncio.Event()

    async def drip(_heard: Heard) -> web.StreamResponse:
        return web.Response(status=202, body=endless(ended))

    receiver.answer = drip
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    async with asyncio.timeout(5):
        await office.send()
        await ended.wait()
    assert await office.statuses(client) == {"delivered": 1}


async def endless(ended: asyncio.Event) -> AsyncIterator[bytes]:
    """A body that goes on until the other side has gone."""
    try:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.01)
    finally:
        ended.set()


async def test_replay_sends_again_with_the_same_id(office: Office, receiver: Receiver) -> None:
    """One that was delivered, one that failed, and one of before the address was set anew; at once."""
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    await office.send()
    office.later(10)
    await office.set_address(client, None)
    await office.set_address(client, receiver.url)
    (row,) = await office.rows(client)
    view = await replay_delivery(office.resources, client.author, client.client_id, row["webhook_id"])
    assert (view.status, view.tries) == ("waiting", 0)
    await office.send()
    assert len(receiver.heard) == 2
    assert len({(heard.webhook_id, heard.body) for heard in receiver.heard}) == 1
    assert await office.statuses(client) == {"delivered": 1}
    other = await office.client(receiver.url)
    with pytest.raises(UnknownDeliveryError):
        await replay_delivery(office.resources, other.author, other.client_id, row["webhook_id"])


async def test_a_test_event_is_a_delivery_like_any_other(office: Office, receiver: Receiver) -> None:
    """``webhook.test`` with the client's id and nothing else."""
    client = await office.client(receiver.url)
    view = await send_test(office.resources, client.author, client.client_id)
    await office.send()
    (heard,) = receiver.heard
    await office.verify(client, heard)
    assert heard.webhook_id == view.webhook_id
    assert list(heard.event) == ["type", "timestamp", "data"]
    assert heard.event["type"] == "webhook.test"
    assert heard.event["data"] == {"clientID": client.client_id}


async def test_deliveries_are_listed_in_pages_newest_first(office: Office, receiver: Receiver) -> None:
    """Without anything that the endpoint answered but its status."""
    receiver.answer = answering(400)
    client = await office.client(receiver.url)
    await office.tell(client.client_id, 5)
    await office.send()
    first = await list_deliveries(office.resources, client, limit=3)
    second = await list_deliveries(office.resources, client, limit=3, before=first[-1].number)
    numbers = [view.number for view in (*first, *second)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 5
    assert {(view.status, view.last_status, view.last_failure) for view in first} == {
        ("waiting", 400, "it answered 400")
    }
