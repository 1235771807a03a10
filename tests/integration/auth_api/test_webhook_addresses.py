"""A client's webhook address over its life: set, changed, cleared, disabled, and the last one of a deleted client."""

from __future__ import annotations

import pytest
from aiohttp import web

from services.auth_api.clients.model import OPERATOR
from services.auth_api.clients.registry import create_client, update_client
from services.auth_api.webhooks.console import (
    NoAddressError,
    read_endpoint,
    replay_delivery,
    send_test,
)
from services.auth_api.webhooks.endpoints import CLEARED, DISABLED
from shared.contracts.clients import ClientFields
from tests.harness.tls import Authority
from tests.harness.webhooks import Heard, Receiver, accept, answering, receiving
from tests.integration.auth_api.webhook_office import DAY, Office


async def test_410_disables_the_address_until_one_is_set_again(office: Office, receiver: Receiver) -> None:
    """What waits is dropped, nothing is kept meanwhile, and author and operator can see why."""
    receiver.answer = answering(410)
    client = await office.client(receiver.url)
    await office.tell(client.client_id, 30)
    await office.send()
    tried = len(receiver.heard)

    assert tried <= 8
    assert await office.statuses(client) == {"failed": tried, "dropped": 30 - tried}
    state = await read_endpoint(office.resources, client)
    assert (state.disabled_why, state.waiting) == ("gone", 0)
    assert state.disabled_on is not None
    lines = await office.sql("SELECT actor, subject FROM audit WHERE action = 'client.webhook-disabled-gone'")
    assert [tuple(line) for line in lines] == [("webhooks", f"client:{client.client_id}")]
    await office.tell(client.client_id)
    with pytest.raises(NoAddressError):
        await send_test(office.resources, client.author, client.client_id)
    with pytest.raises(NoAddressError):
        await replay_delivery(office.resources, client.author, client.client_id, receiver.heard[0].webhook_id)
    assert len(await office.rows(client)) == 30

    receiver.answer = accept
    await office.set_address(client, receiver.url)
    state = await read_endpoint(office.resources, client)
    assert (state.disabled_on, state.disabled_why, state.failing_since) == (None, None, None)
    await office.tell(client.client_id)
    await office.tell(client.client_id, ago_ms=60_000)  # of before: never sent
    await office.send()
    assert len(receiver.heard) == tried + 1


async def test_a_410_of_an_old_address_does_not_disable_a_new_one(
    office: Office, receiver: Receiver, authority: Authority
) -> None:
    """The author sets another address while the old one still thinks."""
    async with receiving(authority, "127.0.0.2") as new:
        client = await office.client(receiver.url)

        async def change_then_go(_heard: Heard) -> web.StreamResponse:
            await office.set_address(client, new.url)
            return web.Response(status=410)

        receiver.answer = change_then_go
        office.later(1)
        await office.tell(client.client_id)
        await office.send()
        assert (await read_endpoint(office.resources, client)).disabled_on is None
        await office.tell(client.client_id)
        await office.send()
        assert len(new.heard) == 1


async def test_clearing_the_address_drops_what_waits(office: Office, receiver: Receiver) -> None:
    """And what happened before the next address was set is never sent, though it is reported later."""
    receiver.answer = answering(500)
    client = await office.client(receiver.url)
    await office.tell(client.client_id, 3)
    await office.send()
    await office.set_address(client, None)

    assert await office.statuses(client) == {"dropped": 3}
    assert {row["last_failure"] for row in await office.rows(client)} == {CLEARED}
    assert await office.endpoint(client) is None
    await office.tell(client.client_id)
    office.later(1)
    await office.set_address(client, receiver.url)
    await office.tell(client.client_id, ago_ms=900)
    office.later(DAY / 1000)
    assert await office.send() == 0
    assert len(receiver.heard) == 3


async def test_a_delivery_recorded_while_its_address_is_changed_is_never_sent(
    office: Office, receiver: Receiver
) -> None:
    """The consumer saw the address just before it was cleared, and wrote its rows just after."""
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    await office.sql(
        "UPDATE webhook_endpoints SET set_on = set_on + 60000 WHERE client_id = $1", client.client_id
    )
    await office.send()
    assert await office.statuses(client) == {"dropped": 1}
    await office.tell(client.client_id, ago_ms=-120_000)
    await office.sql("UPDATE clients SET webhook_uri = NULL WHERE client_id = $1", client.client_id)
    await office.send()
    assert await office.statuses(client) == {"dropped": 2}
    assert receiver.heard == []


async def test_each_try_goes_to_the_current_address(
    office: Office, receiver: Receiver, authority: Authority
) -> None:
    """Another address in place of one takes over what waits."""
    async with receiving(authority, "127.0.0.2") as new:
        receiver.answer = answering(500)
        client = await office.client(receiver.url)
        await office.tell(client.client_id)
        await office.send()
        office.later(1)
        await office.set_address(client, new.url)
        office.later(6)
        await office.send()
        assert [len(each.heard) for each in (receiver, new)] == [1, 1]
        assert new.heard[0].body == receiver.heard[0].body


async def test_what_happened_before_an_address_was_set_is_never_sent(
    office: Office, receiver: Receiver
) -> None:
    """Not even recorded: it is looked at by the event's own time."""
    client = await office.client(None)
    await office.tell(client.client_id)
    office.later(10)
    await office.set_address(client, receiver.url)
    await office.tell(client.client_id, ago_ms=5_000)
    await office.tell("lkc_unknown")
    assert await office.rows(client) == []


async def test_a_change_of_something_else_leaves_the_address_as_it_is(
    office: Office, receiver: Receiver
) -> None:
    """Only an address that is given sets it again."""
    receiver.answer = answering(410)
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    await office.send()
    await update_client(office.resources, client.author, client.client_id, {"description": "new words"})
    state = await read_endpoint(office.resources, client)
    assert state.disabled_on is not None


async def test_the_last_events_of_a_deleted_client_reach_its_last_address(
    office: Office, receiver: Receiver
) -> None:
    """Its keys' ends are reported after it is gone; a new client with its id hears nothing of them."""
    client = await office.client(receiver.url)
    people = [await office.person(f"ext-{number}") for number in range(3)]
    for person in people:
        await office.connect(person, client)
    await office.delete(client)
    office.later(2)
    await office.tell(client.client_id, 3, reason="client_deleted")
    await office.send()

    grants = [heard.event for heard in receiver.heard if heard.event["type"] == "grant.revoked"]
    assert len(receiver.heard) == 6
    for heard in receiver.heard:
        await office.verify(client, heard)
    assert sorted(event["data"]["externalUser"] for event in grants) == ["ext-0", "ext-1", "ext-2"]
    assert {event["data"]["reason"] for event in grants} == {"client_deleted"}


async def test_a_new_client_with_the_id_of_a_deleted_one_begins_anew(
    office: Office, receiver: Receiver
) -> None:
    """Neither sees the old one's deliveries nor gives its events to the old one's author."""
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    await office.delete(client)
    office.later(1)
    fields = ClientFields(name="Another", requested_permissions=("customise_score",))
    new = await create_client(office.resources, OPERATOR, fields, "0" * 64, client_id=client.client_id)
    await office.tell(client.client_id)
    await office.send()
    assert receiver.heard == []
    assert await office.rows(new) == []


async def test_five_days_of_nothing_but_failures_disable_an_address(
    office: Office, receiver: Receiver
) -> None:
    """One success in between begins the five days anew."""
    receiver.answer = answering(500)
    client = await office.client(receiver.url)
    await office.tell(client.client_id)
    await office.send()
    office.later(4 * 86_400)
    receiver.answer = accept
    await office.send()
    receiver.answer = answering(500)
    for _ in range(5):
        await office.tell(client.client_id)
        await office.send()
        state = await read_endpoint(office.resources, client)
        assert (state.disabled_on, state.failing_since is None) == (None, False)
        office.later(86_400)
    await office.tell(client.client_id)
    await office.send()

    state = await read_endpoint(office.resources, client)
    assert state.disabled_why == "failing"
    assert set(await office.statuses(client)) == {"delivered", "dropped"}
    assert DISABLED in {row["last_failure"] for row in await office.rows(client)}
    (line,) = await office.sql("SELECT subject FROM audit WHERE action = 'client.webhook-disabled-failing'")
    assert line["subject"] == f"client:{client.client_id}"
