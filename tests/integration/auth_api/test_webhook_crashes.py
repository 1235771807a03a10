"""A real auth_api is killed while it records and while it sends: nothing is lost, and nothing is recorded twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from deploy.embedded.ports import free_port
from services.auth_api.clients.model import Client
from services.auth_api.consumer import make_event_consumer
from services.auth_api.webhooks.taking import LEASE_MS
from shared.bus import names
from shared.contracts.events import ChangedKey, KeysChanged
from shared.contracts.messages import Envelope
from tests.harness.processes import start
from tests.harness.stores import Servers, Stores, fresh_stores
from tests.harness.tls import Authority
from tests.harness.webhooks import Receiver
from tests.integration.auth_api.webhook_office import Office, office_on
from tests.integration.key_issuer.conftest import until

pytestmark = pytest.mark.slow

TAKE_OVER_SECONDS = 45.0
"""A member's entries are taken over after 15 s of silence."""


@pytest.fixture
async def stores(servers: Servers) -> AsyncIterator[Stores]:
    """Of the test's own."""
    async with fresh_stores(servers) as stores:
        yield stores


@pytest.fixture
async def office(stores: Stores, authority: Authority) -> AsyncIterator[Office]:
    """On the stores that the process works on."""
    async with office_on(stores) as office:
        yield office


async def publish(office: Office, client: Client, keys: int) -> None:
    """Some of a client's keys are revoked, says key_issuer."""
    changed = tuple(
        ChangedKey(key_id=f"key-{number}", user_id=number, client_id=client.client_id)
        for number in range(keys)
    )
    now = office.clock.now()
    event = KeysChanged(change="revoked", reason="person", on=now, keys=changed)
    bus = office.resources.bus
    envelope = Envelope(bus.ids.new(now), event.type, "key_issuer", now, event.to_wire())
    await bus.redis.execute("XADD", names.event_stream(event.stream), "*", *envelope.to_fields())


async def killed_at(stores: Stores, failpoint: str) -> None:
    """Runs an auth_api until it dies at a moment."""
    environ = {
        **stores.environment(),
        "LATCHKEY_PUBLIC_URL": "http://latchkey.test",
        "LATCHKEY_PRIVATE_TARGETS": "on",
        "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
        "LATCHKEY_TESTING": "1",
        "LATCHKEY_FAILPOINTS": f"{failpoint}=kill@1",
    }
    process = start("serve", "auth-api", "--port", str(free_port()), environ=environ)
    try:
        assert await asyncio.to_thread(process.wait, TAKE_OVER_SECONDS) == -9
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


@pytest.mark.parametrize("failpoint", ["bus.after_read_before_handler", "bus.after_handler_before_ack"])
async def test_an_event_of_which_a_process_died_is_recorded_once(
    stores: Stores, office: Office, receiver: Receiver, failpoint: str
) -> None:
    """Acknowledged only after its rows are committed; whoever takes it over finds those that are there."""
    client = await office.client(receiver.url)
    await publish(office, client, 20)
    await killed_at(stores, failpoint)
    consumer = make_event_consumer(office.resources)
    running = asyncio.create_task(consumer.run())

    async def is_settled() -> bool:
        stream = names.event_stream(KeysChanged.stream)
        pending = await office.resources.bus.redis.execute("XPENDING", stream, "auth_api")
        return int(pending[0]) == 0 and len(await office.rows(client)) == 20

    await until(is_settled, TAKE_OVER_SECONDS)
    consumer.stop()
    await running
    office.later(LEASE_MS / 1000 + 1)
    await office.send()
    assert await office.statuses(client) == {"delivered": 20}
    assert {heard.event["data"]["keyID"] for heard in receiver.heard} == {f"key-{n}" for n in range(20)}


async def test_what_a_process_had_sent_but_not_noted_is_sent_again(
    stores: Stores, office: Office, receiver: Receiver
) -> None:
    """At least once: the receiver has it twice, under one id."""
    client = await office.client(receiver.url)
    await office.tell(client.client_id, 5)
    await killed_at(stores, "webhooks.after_tries_before_record")
    assert len(receiver.heard) == 5
    assert await office.send() == 0
    office.later(LEASE_MS / 1000 + 1)
    await office.send()
    assert await office.statuses(client) == {"delivered": 5}
    assert len(receiver.heard) == 10
    assert len({(heard.webhook_id, heard.body) for heard in receiver.heard}) == 5
