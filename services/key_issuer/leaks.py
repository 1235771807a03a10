"""Keys found where they do not belong: holding one is enough to end it."""

from __future__ import annotations

from services.key_issuer.issuer import Issuer
from services.key_issuer.records import LEAKED
from services.key_issuer.revocation import end_one, lock_presented
from services.key_issuer.service_keys import revoke_service_key
from shared.api_key import SERVICE_KEY, parse_key
from shared.secret_tokens import digest_of


async def end_leaked(issuer: Issuer, token: str) -> bool:
    """Revokes the key that ``token`` is, live or paused; whether it ended now.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    parsed = parse_key(token)
    if parsed is None:
        return False
    key_id, digest = parsed.key_id, digest_of(token)
    if parsed.kind == SERVICE_KEY:
        row = await issuer.database.fetchrow("read_service_keys", [key_id])
        proven = row is not None and issuer.peppers.matches(digest, row["digest"], row["pepper_version"])
        return proven and await revoke_service_key(issuer, key_id, LEAKED)
    ended = await end_one(issuer, LEAKED, lambda rows: lock_presented(issuer, rows, key_id, digest))
    return bool(ended.revoked)
