"""What an author sees and does of a client's webhooks: deliveries, one sent again, a test, and how the address fares.

Everything here raises ``StoreUnavailable`` where a store does not answer, and what takes an author and a client's id
``UnknownClientError`` where that author has no such client. Times are Unix milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.auth_api.clients.model import Client
from services.auth_api.clients.registry import lock_client, read_own_client
from services.auth_api.rate_limit import Limit
from services.auth_api.resources import Resources
from services.auth_api.webhooks.endpoints import TOO_MANY
from services.auth_api.webhooks.events import TEST_TYPE, test_event
from shared.contracts.webhooks import WebhookDelivery, WebhookEndpoint

if TYPE_CHECKING:
    from asyncpg import Record

    from services.auth_api.db.repository import Connection

MOST_LISTED: Final = 100
MOST_COUNTED: Final = 10_000
MOST_TESTS: Final = 20
"""Tests of one client that wait at most: older ones are dropped."""
REPLAYS: Final = Limit("webhook-replay", burst=100, interval_ms=6_000)
"""Deliveries that are sent again: 100 at once, then ten a minute. Key: the author, since clients cost nothing."""
TESTS: Final = Limit("webhook-test", burst=20, interval_ms=30_000)
"""Test events: 20 at once, then two a minute. Key: the author."""


class NoAddressError(Exception):
    """The client has no address, or it is disabled: the author has to set one first."""


class UnknownDeliveryError(Exception):
    """The client has no such delivery; finished ones are not kept for ever."""


async def read_endpoint(resources: Resources, client: Client) -> WebhookEndpoint:
    """The state of a client's address, to whoever was given the client as its author."""
    row = await resources.database.fetchrow("read_webhook_endpoint", client.client_id, MOST_COUNTED)
    assert row is not None
    return WebhookEndpoint(address=client.webhook_uri, **row)


async def list_deliveries(
    resources: Resources, client: Client, *, limit: int = 50, before: int | None = None
) -> tuple[WebhookDelivery, ...]:
    """A client's deliveries, newest first, to whoever was given the client as its author.

    The next page is those ``before`` the last one's ``number``. At most ``MOST_LISTED``; of finished ones the newest 1,000
    and 30 days are kept.
    """
    limit = max(1, min(limit, MOST_LISTED))
    rows = await resources.database.fetch("list_webhook_deliveries", client.client_id, before, limit)
    return tuple(map(_view, rows))


async def replay_delivery(
    resources: Resources, author_id: int, client_id: str, webhook_id: str
) -> WebhookDelivery:
    """Sends a delivery again, at once and with the same id, be it waiting or over; it has all its tries again.

    Raises:
        UnknownDeliveryError: the client has none with this id.
        NoAddressError: there is no address to send it to.
        Throttled: too many in a short time.
    """
    await _take(resources, author_id, client_id, REPLAYS)
    now, sql = resources.clock.now(), resources.database.sql
    async with resources.database.transaction() as connection:
        await _require_address(resources, connection, author_id, client_id)
        row = await connection.fetchrow(sql["replay_webhook_delivery"], client_id, webhook_id, now)
        if row is None:
            raise UnknownDeliveryError
        await connection.execute(sql["queue_webhook"], client_id, now)
    resources.deliveries.kick()
    return _view(row)


async def send_test(resources: Resources, author_id: int, client_id: str) -> WebhookDelivery:
    """Sends ``webhook.test`` to a client's address; like every delivery it is tried again where it fails.

    Raises:
        NoAddressError: there is no address to send it to.
        Throttled: too many in a short time.
    """
    await _take(resources, author_id, client_id, TESTS)
    now, sql = resources.clock.now(), resources.database.sql
    event = test_event(client_id, now)
    async with resources.database.transaction() as connection:
        await _require_address(resources, connection, author_id, client_id)
        row = await connection.fetchrow(
            sql["insert_webhook_test"], event.webhook_id, client_id, TEST_TYPE, event.body, now
        )
        await connection.execute(sql["queue_webhook"], client_id, now)
        dropped = await connection.fetch(
            sql["drop_old_webhook_tests"], client_id, TEST_TYPE, MOST_TESTS, now, TOO_MANY
        )
    assert row is not None
    resources.deliveries.count_ended("dropped", [row["client_id"] for row in dropped])
    resources.deliveries.kick()
    return _view(row)


async def _take(resources: Resources, author_id: int, client_id: str, limit: Limit) -> None:
    """Counts against a limit of the client's author; what somebody else tries does not."""
    await read_own_client(resources, author_id, client_id)
    await resources.limiter.take(limit, str(author_id))


async def _require_address(
    resources: Resources, connection: Connection, author_id: int, client_id: str
) -> None:
    """Holds the client's row, so that its address is not cleared meanwhile."""
    client = await lock_client(resources, connection, author_id, client_id)
    disabled = await connection.fetchval(resources.database.sql["find_disabled_webhook"], client_id)
    if client.webhook_uri is None or disabled is not None:
        raise NoAddressError


def _view(row: Record) -> WebhookDelivery:
    return WebhookDelivery(**{name: row[name] for name in WebhookDelivery.model_fields})
