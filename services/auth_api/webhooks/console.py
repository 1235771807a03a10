"""What an author sees and does of a client's webhooks: deliveries, one sent again, a test, and how the address fares.

Everything here raises ``StoreUnavailable`` where a store does not answer, and ``UnknownClientError`` for a client that is
unknown or another author's. Times are Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Literal

from services.auth_api.clients.registry import lock_client, read_own_client
from services.auth_api.rate_limit import Limit
from services.auth_api.resources import Resources
from services.auth_api.webhooks.endpoints import TOO_MANY
from services.auth_api.webhooks.events import TEST_TYPE, test_event

if TYPE_CHECKING:
    from asyncpg import Record

    from services.auth_api.db.repository import Connection

DeliveryStatus = Literal["waiting", "delivered", "failed", "dropped"]
"""``waiting`` for its first or next try; ``failed`` after its last one; ``dropped``: the address was cleared or disabled."""
DisabledWhy = Literal["gone", "failing"]
"""Why nothing is sent any more: the address answered 410, or every try failed for five days."""

MOST_LISTED: Final = 100
MOST_TESTS: Final = 20
"""Tests of one client that wait at most: older ones are dropped."""
REPLAYS: Final = Limit("webhook-replay", burst=100, interval_ms=6_000)
"""Deliveries that are sent again: 100 at once, then ten a minute. Key: the client."""
TESTS: Final = Limit("webhook-test", burst=20, interval_ms=30_000)
"""Test events: 20 at once, then two a minute. Key: the client."""


class NoAddressError(Exception):
    """The client has no address, or it is disabled: the author has to set one first."""


class UnknownDeliveryError(Exception):
    """The client has no such delivery; finished ones are not kept for ever."""


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One delivery as its author sees it: never what the endpoint answered, but its status code."""

    webhook_id: str
    number: int
    """Its place among all: what is newer has a greater one."""
    type: str
    """``key.revoked``, ``webhook.test``, …"""
    key_id: str | None
    status: DeliveryStatus
    tries: int
    happened_on: int
    due_on: int | None
    """When it is tried next, while it waits; of one that is being tried now, half a minute from then."""
    last_tried_on: int | None
    last_status: int | None
    """The HTTP status of the last try, where there was an answer."""
    last_failure: str | None
    """Why the last try failed or the delivery was dropped, in a few words of ours."""
    ended_on: int | None


@dataclass(frozen=True, slots=True)
class EndpointState:
    """How a client's address fares."""

    address: str | None
    failing_since: int | None
    """Since when every try has failed."""
    disabled_on: int | None
    """Since when nothing is sent, until the author sets an address again (the same one counts)."""
    disabled_why: DisabledWhy | None
    waiting: int
    """Deliveries that wait, counted up to ``MOST_COUNTED``."""


MOST_COUNTED: Final = 10_000


async def read_endpoint(resources: Resources, author_id: int, client_id: str) -> EndpointState:
    """The state of a client's address, to its author."""
    client = await read_own_client(resources, author_id, client_id)
    row = await resources.database.fetchrow("read_webhook_endpoint", client_id, MOST_COUNTED)
    assert row is not None
    return EndpointState(address=client.webhook_uri, **row)


async def list_deliveries(
    resources: Resources, author_id: int, client_id: str, *, limit: int = 50, before: int | None = None
) -> tuple[DeliveryView, ...]:
    """A client's deliveries, newest first; the next page is those ``before`` the last one's ``number``.

    At most ``MOST_LISTED``; of finished ones the newest 1,000 and 30 days are kept.
    """
    await read_own_client(resources, author_id, client_id)
    limit = max(1, min(limit, MOST_LISTED))
    rows = await resources.database.fetch("list_webhook_deliveries", client_id, before, limit)
    return tuple(map(_view, rows))


async def replay_delivery(
    resources: Resources, author_id: int, client_id: str, webhook_id: str
) -> DeliveryView:
    """Sends a delivery again, at once and with the same id, be it waiting or over; it has all its tries again.

    Raises:
        UnknownDeliveryError: the client has none with this id.
        NoAddressError: there is no address to send it to.
        Throttled: too many in a short time.
    """
    await resources.limiter.take(REPLAYS, client_id)
    now, sql = resources.clock.now(), resources.database.sql
    async with resources.database.transaction() as connection:
        await _require_address(resources, connection, author_id, client_id)
        row = await connection.fetchrow(sql["replay_webhook_delivery"], client_id, webhook_id, now)
        if row is None:
            raise UnknownDeliveryError
        await connection.execute(sql["queue_webhook"], client_id, now)
    resources.deliveries.kick()
    return _view(row)


async def send_test(resources: Resources, author_id: int, client_id: str) -> DeliveryView:
    """Sends ``webhook.test`` to a client's address; like every delivery it is tried again where it fails.

    Raises:
        NoAddressError: there is no address to send it to.
        Throttled: too many in a short time.
    """
    await resources.limiter.take(TESTS, client_id)
    now, sql = resources.clock.now(), resources.database.sql
    event = test_event(client_id, now)
    async with resources.database.transaction() as connection:
        await _require_address(resources, connection, author_id, client_id)
        row = await connection.fetchrow(
            sql["insert_webhook_test"], event.webhook_id, client_id, TEST_TYPE, event.body, now
        )
        await connection.execute(sql["queue_webhook"], client_id, now)
        status = await connection.execute(
            sql["drop_old_webhook_tests"], client_id, TEST_TYPE, MOST_TESTS, now, TOO_MANY
        )
    assert row is not None
    resources.deliveries.count_dropped(status)
    resources.deliveries.kick()
    return _view(row)


async def _require_address(
    resources: Resources, connection: Connection, author_id: int, client_id: str
) -> None:
    """Holds the client's row, so that its address is not cleared meanwhile."""
    client = await lock_client(resources, connection, author_id, client_id)
    disabled = await connection.fetchval(resources.database.sql["find_disabled_webhook"], client_id)
    if client.webhook_uri is None or disabled is not None:
        raise NoAddressError


def _view(row: Record) -> DeliveryView:
    return DeliveryView(**{field.name: row[field.name] for field in fields(DeliveryView)})
