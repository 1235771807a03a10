"""Which of the site's own servers asks: its service key, judged by key_issuer each time."""

from __future__ import annotations

from typing import Final

from services.auth_api.rate_limit import SERVICE_PEER
from services.auth_api.resources import Resources
from shared.api_key import SERVICE_KEY, parse_key
from shared.contracts.service_keys import ReadServiceKey
from shared.secret_tokens import digest_of

SIGN_IN: Final = "sign-in"
"""May say who somebody is, and so sign anybody in whom the site knows."""
USERS: Final = "users"
"""May end people."""
LONGEST_KEY: Final = 100


async def permissions_of(resources: Resources, token: str, peer: str) -> tuple[str, ...] | None:
    """What the service key may do; ``None`` where this is no live one.

    Raises:
        Throttled: the peer has presented too many that are not.
        StoreUnavailable: key_issuer does not answer.
    """
    parsed = parse_key(token) if len(token) <= LONGEST_KEY and token.isascii() else None
    if parsed is None or parsed.kind != SERVICE_KEY:
        return None
    await resources.limiter.check(SERVICE_PEER, peer)
    command = ReadServiceKey(key_id=parsed.key_id, digest=digest_of(token))
    permissions = (await resources.bus.request(command)).permissions
    if permissions is None:
        await resources.limiter.note_failure(SERVICE_PEER, peer)
    return permissions
