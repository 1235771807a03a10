"""Taking back for good: every key, code and pending request of a person, of a client, or of both together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.auth_api.db.repository import write_event
from services.auth_api.resources import Resources
from shared.contracts.events import GrantRevoked, RevocationReason
from shared.contracts.keys import RevokeGrant

if TYPE_CHECKING:
    from services.auth_api.db.repository import Connection


async def record_revocation(
    resources: Resources,
    connection: Connection,
    reason: RevocationReason,
    *,
    user_id: int | None,
    client_id: str | None,
    last_granted_on: int | None,
) -> GrantRevoked:
    """Writes into the running transaction that everything consented to so far is taken back: it ends once that commits.

    ``last_granted_on`` is the youngest consent that is meant, in Unix milliseconds: one that another process dated later
    than this one's clock ends too.
    """
    now = resources.clock.now()
    before = max(now, last_granted_on or 0)
    event = GrantRevoked(user_id=user_id, client_id=client_id, before=before, reason=reason)
    await write_event(resources.database, connection, event, now)
    return event


async def revoke_grant(resources: Resources, revoked: GrantRevoked) -> None:
    """Carries out at once what ``record_revocation`` wrote, after its commit: dead at every verifier when this returns.

    Whatever fails here still happens by the event.

    Raises:
        StoreUnavailable: Redis or the issuer does not answer; call again, or leave it to the event.
    """
    resources.outbox.kick()
    resources.deliveries.kick()
    user_id, client_id, before = revoked.user_id, revoked.client_id, revoked.before
    await resources.codes.revoke_before(user_id=user_id, client_id=client_id, before=before)
    await resources.bus.request(RevokeGrant(**revoked.model_dump()))
