"""Connected apps: the clients that hold a live key or a standing grant of a person, and taking back what they hold.

Everything here raises ``StoreUnavailable`` where a store or the issuer does not answer.
"""

from __future__ import annotations

import asyncio

from services.auth_api.clients.model import Client, client_of
from services.auth_api.db.repository import write_audit
from services.auth_api.grants.store import Grant, list_grants
from services.auth_api.resources import Resources
from services.auth_api.revocation import record_revocation, revoke_grant
from services.auth_api.webhooks.recording import record_revoked_grants
from shared.contracts.access import ConnectedApp
from shared.contracts.keys import ClientUsage, SummarizeUsage


async def list_apps(resources: Resources, user_id: int) -> tuple[ConnectedApp, ...]:
    """The person's connected apps, last granted first."""
    grants, usage = await asyncio.gather(
        list_grants(resources, user_id), resources.bus.request(SummarizeUsage(user_id=user_id))
    )
    granted = {grant.client_id: grant for grant in grants}
    used = {client.client_id: client for client in usage.clients}
    client_ids = list(dict.fromkeys([*granted, *used]))
    rows = await resources.database.fetch("find_clients", client_ids)
    clients = {row["client_id"]: client_of(row) for row in rows}
    # A client that was deleted a moment ago has nothing left but keys that are dying.
    return tuple(
        _app(clients[client_id], granted.get(client_id), used.get(client_id))
        for client_id in client_ids
        if client_id in clients
    )


async def disconnect_app(resources: Resources, user_id: int, client_id: str) -> bool:
    """Takes back everything that the person gave to a client; whether there is such a client."""
    if await resources.clients.find(client_id) is None:
        return False
    await revoke_access(resources, user_id, client_id)
    return True


async def revoke_access(resources: Resources, user_id: int, client_id: str | None = None) -> None:
    """Takes back everything that the person gave to a client; without one, to all of them and to their own keys.

    Every key, code and pending request of it is dead when this returns; so it is after a retry of one that failed
    half-way, whose transaction also ends them without it.
    """
    database, actor, now = resources.database, f"user:{user_id}", resources.clock.now()
    async with database.transaction() as connection:
        await record_revoked_grants(
            resources, connection, "app_disconnected", now, user_ids=(user_id,), client_id=client_id
        )
        revoked = await record_revocation(
            resources,
            connection,
            "app_disconnected",
            user_id=user_id,
            client_id=client_id,
            last_granted_on=await connection.fetchval(database.sql["delete_grants"], user_id, client_id),
        )
        subject = actor if client_id is None else f"client:{client_id}"
        await write_audit(database, connection, now, actor, "grant.ended", subject)
    await revoke_grant(resources, revoked)


def _app(client: Client, grant: Grant | None, usage: ClientUsage | None) -> ConnectedApp:
    held = {*(grant.permissions if grant else ()), *(usage.permissions if usage else ())}
    in_order = [name for name in client.requested_permissions if name in held]
    begun = [grant.first_granted_on] if grant else []
    begun += [usage.first_issued_on] if usage else []
    return ConnectedApp(
        client_id=client.client_id,
        name=client.name,
        author_name=client.author_name,
        homepage=client.homepage,
        permissions=(*in_order, *sorted(held.difference(in_order))),
        first_granted_on=min(begun),
        last_used_on=usage.last_used_on if usage else None,
        keys=usage.keys if usage else 0,
    )
