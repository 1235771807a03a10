"""Keys found where they do not belong: holding one is enough to end it."""

from __future__ import annotations

from services.key_issuer.db.repository import KeyRows, in_transaction
from services.key_issuer.issuer import Issuer
from services.key_issuer.revocation import LEAKED
from services.key_issuer.service_keys import revoke_service_key
from shared.api_key import SERVICE_KEY, ParsedKey, parse_key
from shared.secret_tokens import digest_of


async def end_leaked(issuer: Issuer, token: str) -> bool:
    """Revokes the key that ``token`` is, live, paused or not yet delivered; whether it ended now.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    parsed = parse_key(token)
    if parsed is None:
        return False
    digest = digest_of(token)
    if parsed.kind == SERVICE_KEY:
        row = await issuer.database.fetchrow("read_service_keys", [parsed.key_id])
        proven = row is not None and issuer.peppers.matches(digest, row["digest"], row["pepper_version"])
        return proven and await revoke_service_key(issuer, parsed.key_id, LEAKED)
    return await _end_user_key(issuer, parsed, digest)


async def _end_user_key(issuer: Issuer, parsed: ParsedKey, digest: str) -> bool:
    async def work(rows: KeyRows) -> bool:
        row = await rows.fetchrow("lock_key", parsed.key_id, None)
        if row is None or row["status"] == "revoked":
            return False
        if not issuer.peppers.matches(digest, row["digest"], row["pepper_version"]):
            return False
        await rows.end_keys([parsed.key_id], LEAKED, issuer.clock.now())
        return True

    ended = await in_transaction(issuer.database, work)
    if ended:
        issuer.announce([parsed.key_id])
    return ended
