"""What the site's own servers may do: read for auth_api, which lets them sign people in and end them."""

from __future__ import annotations

from services.key_issuer.issuer import Issuer
from shared.contracts.service_keys import ReadServiceKey, ServiceKeyState

_NOT_LIVE = ServiceKeyState()


async def read_service_key(issuer: Issuer, command: ReadServiceKey) -> ServiceKeyState:
    """The permissions of a live service key of which the caller knows the digest; nothing for any other."""
    row = await issuer.database.fetchrow("read_service_keys", [command.key_id])
    if row is None or row["ended_on"] is not None:
        return _NOT_LIVE
    if not issuer.peppers.matches(command.digest, row["digest"], row["pepper_version"]):
        return _NOT_LIVE
    return ServiceKeyState(permissions=tuple(row["permissions"]))
