"""Service keys: made by the operator for resource servers, checked like any key, known to no bus."""

from __future__ import annotations

from typing import Final

from services.key_issuer.db.repository import KeyRows, in_transaction
from services.key_issuer.issuer import Issuer
from services.key_issuer.revocation import POINT
from shared.api_key import MintedKey

INTROSPECT: Final = "introspect"
SERVICE_PERMISSIONS: Final = (INTROSPECT,)
"""What a resource server can be allowed."""


async def keep_service_key(
    issuer: Issuer, minted: MintedKey, name: str, permissions: tuple[str, ...]
) -> None:
    """Keeps the digest of a service key that the caller has minted and shows once."""

    async def work(rows: KeyRows) -> None:
        peppers = issuer.peppers
        sealed = peppers.seal(minted.digest)
        await rows.execute(
            "insert_service_key",
            minted.key_id,
            name,
            sealed,
            peppers.current,
            permissions,
            issuer.clock.now(),
        )

    await in_transaction(issuer.database, work)


async def revoke_service_key(issuer: Issuer, key_id: str, reason: str) -> bool:
    """Ends a service key everywhere; ``False`` where there is no live one of this id."""
    now = issuer.clock.now()

    async def work(rows: KeyRows) -> tuple[bool, list[str]]:
        ended = await rows.key_ids("end_service_key", key_id, now, reason)
        if ended:
            await rows.append_narrowed(key_id, now)
        return bool(ended), ended

    return await issuer.narrow(work, POINT)
