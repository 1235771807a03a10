"""From events to deliveries: rows that are there once for each event and client, and then wait for the sender.

Everything here raises ``StoreUnavailable`` where PostgreSQL does not answer; then nothing was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from services.auth_api.resources import Resources
from services.auth_api.webhooks.endpoints import LONG_SECONDS, TOO_MANY, host_of
from services.auth_api.webhooks.events import NARROWED_TYPE, WebhookEvent, events_of, iso_time
from shared.bus import Delivery
from shared.contracts.events import KeysChanged, RevocationReason

if TYPE_CHECKING:
    from services.auth_api.db.repository import Connection

MOST_OF_PERSON: Final = 200
"""Deliveries about one person that wait at most for one client; each is about 1 KiB or less. An account that makes and ends keys in
a loop, for a client whose address never answers, makes us keep no more; one that loses all its apps and keys at once, however many,
loses no event."""


async def record_changed_keys(
    resources: Resources, messages: Sequence[KeysChanged], deliveries: Sequence[Delivery]
) -> list[None]:
    """Records what the programs of clients are to hear of keys; delivered twice it is recorded once.

    Only for clients with an address that was set before and is not disabled. One look-up and one transaction for all.
    """
    told = [
        event
        for message, delivery in zip(messages, deliveries, strict=True)
        for event in events_of(message, delivery.message_id)
    ]
    client_ids = list({event.client_id for event in told})
    rows = await resources.database.fetch("find_webhook_addresses", client_ids)
    addresses = {row["client_id"]: (row["set_on"], row["address"]) for row in rows}
    wanted = [
        event
        for event in told
        if event.client_id in addresses and event.happened_on >= addresses[event.client_id][0]
    ]
    if wanted:
        hosts = {event.client_id: host_of(addresses[event.client_id][1]) for event in wanted}
        async with resources.database.transaction() as connection:
            await _insert(resources, connection, wanted, hosts)
        resources.deliveries.kick()
    return [None] * len(messages)


async def record_revoked_grants(
    resources: Resources,
    connection: Connection,
    reason: RevocationReason,
    now: int,
    *,
    user_ids: Sequence[int] | None = None,
    client_id: str | None = None,
) -> None:
    """Records in the running transaction that standing consents are about to end: one delivery a person and client.

    ``now`` is when they end, in Unix milliseconds. To be called just before the rows of the consents go, which this
    transaction holds from then on. Of people: to one client, or to all of them without one; without people: everybody's to
    the client. ``deliveries.kick()`` after the commit.
    """
    sql = resources.database.sql
    people = None if user_ids is None else list(user_ids)
    query = sql["insert_revoked_grants"]
    told = await connection.fetch(query, people, client_id, reason, now, iso_time(now), timeout=LONG_SECONDS)
    if told:
        users, clients = zip(*told, strict=True)
        await _drop_oldest(resources, connection, users, clients)


async def _insert(
    resources: Resources, connection: Connection, events: Sequence[WebhookEvent], hosts: dict[str, str]
) -> None:
    """The places in the queue first: whoever takes deliveries waits for no row while it holds a place."""
    now, sql = resources.clock.now(), resources.database.sql
    await connection.execute(sql["queue_webhooks"], list(hosts), list(hosts.values()), now)
    await connection.execute(
        sql["insert_webhook_deliveries"],
        [event.webhook_id for event in events],
        [event.client_id for event in events],
        [event.user_id for event in events],
        [event.type for event in events],
        [event.key_id for event in events],
        [event.body for event in events],
        [event.happened_on for event in events],
        now,
    )
    users, clients = zip(*{(event.user_id, event.client_id) for event in events}, strict=True)
    if any(event.type == NARROWED_TYPE for event in events):
        await connection.execute(sql["merge_narrowings"], users, clients)
    await _drop_oldest(resources, connection, users, clients)


async def _drop_oldest(
    resources: Resources,
    connection: Connection,
    users: Sequence[int | None],
    clients: Sequence[str],
) -> None:
    """Of each of these people, what waits for the client named beside them."""
    query, now = resources.database.sql["drop_webhooks_of_people"], resources.clock.now()
    rows = await connection.fetch(query, users, clients, MOST_OF_PERSON, now, TOO_MANY, timeout=LONG_SECONDS)
    resources.deliveries.count_ended("dropped", [row["client_id"] for row in rows])
