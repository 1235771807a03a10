"""Taking back for good: every key, code and pending request of a person, of a client, or of both together."""

from __future__ import annotations

from typing import Literal

from services.auth_api.resources import Resources
from shared.contracts.keys import RevokeGrant

Reason = Literal["client_deleted", "user_disabled", "app_disconnected"]


async def revoke_grant(
    resources: Resources, *, user_id: int | None, client_id: str | None, before: int, reason: Reason
) -> int:
    """Ends everything consented to at or before ``before``; dead at every verifier within a second of returning.

    Call it after the transaction that wrote ``GrantRevoked``: whatever fails here still happens by that event.
    How many keys were found, those that had ended already included.

    Raises:
        StoreUnavailable: Redis or the issuer does not answer; call again, or leave it to the event.
    """
    await resources.codes.revoke_before(user_id=user_id, client_id=client_id, before=before)
    command = RevokeGrant(user_id=user_id, client_id=client_id, before=before, reason=reason)
    reply = await resources.bus.request(command)
    return reply.found
