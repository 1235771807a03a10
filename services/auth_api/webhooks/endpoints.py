"""A client's webhook address over its life: set, cleared, kept for the last events of a deleted client, disabled.

Each function works in the running transaction of the change that it belongs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from services.auth_api.db.repository import write_audit
from services.auth_api.resources import Resources
from shared.contracts.clients import DisabledWhy

if TYPE_CHECKING:
    from services.auth_api.db.repository import Connection

LAST_ADDRESS_DAYS: Final = 4
"""How long a deleted client's address is kept at least: its last events have had all their tries by then."""
SENDER: Final = "webhooks"
"""The actor, in the audit, of what the sender of webhooks does by itself."""
CLEARED: Final = "the address was cleared"
DISABLED: Final = "the address was disabled"
LONG_SECONDS: Final = 30.0
"""For what changes all deliveries of a client: a hundred thousand rows take a few seconds."""
TOO_MANY: Final = "too many waited"


def host_of(address: str) -> str:
    """What decides which addresses share their part of what is sent at once; empty where it has none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


async def change_address(
    resources: Resources, connection: Connection, client_id: str, before: str | None, after: str | None
) -> None:
    """The author said where the client's program hears of its keys, or nowhere.

    An address counts from now on where there was none or a disabled one; one in place of another goes on with what waits.
    Either way whatever was wrong is forgotten. Without one, everything that waits is dropped.
    """
    now, sql = resources.clock.now(), resources.database.sql
    if after is not None:
        fresh = before is None
        await connection.execute(sql["set_webhook_address"], client_id, now, host_of(after), fresh)
    elif before is not None:
        await connection.execute(sql["forget_webhook_endpoint"], client_id)
        await drop_waiting(resources, connection, client_id, CLEARED)


async def drop_waiting(resources: Resources, connection: Connection, client_id: str, why: str) -> None:
    """Everything that waits for a client's address is dropped; ``why`` is for its author."""
    query, now = resources.database.sql["drop_waiting_webhooks"], resources.clock.now()
    rows = await connection.fetch(query, client_id, now, why, timeout=LONG_SECONDS)
    resources.deliveries.count_ended("dropped", [row["client_id"] for row in rows])


async def begin_address(
    resources: Resources, connection: Connection, client_id: str, address: str | None
) -> None:
    """A client was registered; what is left of a deleted one that had the same id is not its author's to have."""
    sql = resources.database.sql
    await connection.execute(sql["forget_webhook_endpoint"], client_id)
    await connection.execute(sql["forget_webhook_deliveries"], client_id, timeout=LONG_SECONDS)
    await change_address(resources, connection, client_id, None, address)


async def keep_last_address(
    resources: Resources, connection: Connection, client_id: str, address: str | None
) -> None:
    """A client is about to be deleted: what its keys' end makes to be told goes to the address that it has now."""
    sql = resources.database.sql
    if address is None:
        await connection.execute(sql["forget_webhook_endpoint"], client_id)
    else:
        await connection.execute(sql["keep_last_webhook_address"], client_id, resources.clock.now())
    resources.deliveries.grown.add(client_id)


async def disable_address(
    resources: Resources,
    connection: Connection,
    client_id: str,
    why: DisabledWhy,
    changed_on: int,
) -> bool:
    """Sends nothing any more to an address that its author has not set anew since ``changed_on``; drops what waits.

    Whether it was disabled by this. The author sees it in the console, the operator in the audit.
    """
    now, sql = resources.clock.now(), resources.database.sql
    if await connection.fetchval(sql["disable_webhook"], client_id, now, why, changed_on) is None:
        return False
    await drop_waiting(resources, connection, client_id, DISABLED)
    action = f"client.webhook-disabled-{why}"
    await write_audit(resources.database, connection, now, SENDER, action, f"client:{client_id}")
    return True
