"""Which of the site's own servers asks: its service key, judged by key_issuer each time."""

from __future__ import annotations

from typing import Final

from services.auth_api.resources import Resources
from shared.api_key import SERVICE_KEY, parse_key
from shared.contracts.service_keys import ReadServiceKey
from shared.secret_tokens import digest_of

SIGN_IN: Final = "sign-in"
"""May say who somebody is, and so sign anybody in whom the site knows."""
USERS: Final = "users"
"""May end people."""
LONGEST_KEY: Final = 100


async def permissions_of(resources: Resources, token: str) -> tuple[str, ...] | None:
    """What the service key may do; ``None`` where this is no live one.

    Raises:
        StoreUnavailable: key_issuer does not answer.
    """
    parsed = parse_key(token) if len(token) <= LONGEST_KEY and token.isascii() else None
    if parsed is None or parsed.kind != SERVICE_KEY:
        return None
    command = ReadServiceKey(key_id=parsed.key_id, digest=digest_of(token))
    return (await resources.bus.request(command)).permissions
