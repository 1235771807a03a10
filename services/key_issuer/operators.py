"""What the operator sees and makes: people's and services' keys with their history, and no secret of any."""

from __future__ import annotations

from typing import Any, Final

from asyncpg import Record

from services.key_issuer.issuer import Issuer
from services.key_issuer.records import shown_status
from services.key_issuer.revocation import revoke_grant
from shared.api_key import MintedKey
from shared.clock import Clock
from shared.contracts.keys import RevokeGrant
from shared.database import Database

INTROSPECT: Final = "introspect"
SERVICE_PERMISSIONS: Final = (INTROSPECT, "sign-in", "users")
"""What one of the site's own servers can be allowed: to look keys up, to say who somebody is, to end people."""

KeyReport = dict[str, Any]
"""What is printed: public names and plain values."""

_FIELDS: Final = {
    "keyID": "key_id",
    "userID": "user_id",
    "username": "username",
    "externalIssuer": "external_issuer",
    "externalUser": "external_user",
    "service": "name",
    "fromAPIClient": "client_id",
    "identifier": "identifier",
    "permissions": "permissions",
    "usedPermissions": "used_permissions",
    "origin": "origin",
    "epoch": "epoch",
    "pepperVersion": "pepper_version",
    "consentedOn": "consented_on",
    "createdOn": "created_on",
    "lastUsedOn": "last_used_on",
    "expiresOn": "expires_on",
    "endedOn": "ended_on",
    "endReason": "end_reason",
}


async def search_keys(
    database: Database, clock: Clock, *, username: str | None, client_id: str | None, ended: bool, limit: int
) -> list[KeyReport]:
    """People's keys, newest first; ended ones where wanted."""
    rows = await database.fetch("search_keys", username, client_id, ended, limit)
    return [_document(row, clock.now()) for row in rows]


async def revoke_all_keys(
    issuer: Issuer, reason: str, *, username: str | None, client_id: str | None
) -> int | None:
    """Ends every key of a person, of a client, or that the one gave to the other: at least one of the two is named.

    Also refuses those whose issue is still on its way. How many ended now; ``None`` where there never was such a key.

    Raises:
        StoreUnavailable: some may live on; call again.
    """
    held = await issuer.database.fetchrow("find_holder", username, client_id)
    if held is None or held["user_id"] is None:
        return None
    command = RevokeGrant(
        user_id=None if username is None else held["user_id"],
        client_id=client_id,
        # A consent that another machine dated later than this one's clock ends too.
        before=max(issuer.clock.now(), held["consented_on"]),
        reason=reason,
    )
    return (await revoke_grant(issuer, command)).found


async def keep_service_key(
    issuer: Issuer, minted: MintedKey, name: str, permissions: tuple[str, ...]
) -> None:
    """Keeps the digest of a resource server's key that the caller has minted and shows once."""
    sealed, version = issuer.peppers.seal(minted.digest), issuer.peppers.current
    now = issuer.clock.now()
    await issuer.database.execute(
        "insert_service_key", minted.key_id, name, sealed, version, permissions, now
    )


async def list_service_keys(database: Database, clock: Clock, *, ended: bool, limit: int) -> list[KeyReport]:
    """Service keys, newest first; ended ones where wanted."""
    rows = await database.fetch("list_service_keys", limit)
    return [_document(row, clock.now()) for row in rows if ended or row["ended_on"] is None]


async def describe_key(database: Database, clock: Clock, key_id: str) -> KeyReport | None:
    """Everything that is known of one key, with its history; ``None`` for an unknown id."""
    row = await database.fetchrow("describe_key", key_id)
    if row is None:
        row = await database.fetchrow("read_service_keys", [key_id])
    if row is None:
        return None
    history = await database.fetch("list_audit", key_id)
    return _document(row, clock.now()) | {
        "history": [
            {"event": line["event"], "reason": line["reason"], "on": line["happened_on"]} for line in history
        ]
    }


def _document(row: Record, now: int) -> KeyReport:
    """One of either kind; a service's key has no expiry, and no status but that it has ended or not."""
    known = dict(row)
    status = known.get("status", "revoked" if known["ended_on"] else "active")
    document = {name: known[column] for name, column in _FIELDS.items() if column in known}
    return document | {"status": shown_status(status, known.get("expires_on"), now)}
