"""Back-channel logout: the provider says, server to server, that a session or a person is signed out there.

Sessions end; keys never do, for they were given to programs by consent (OpenID Connect Back-Channel Logout §2.7).
"""

from __future__ import annotations

import asyncio
from typing import Final

from services.auth_api.own_login.oidc_provider import OidcProvider
from services.auth_api.own_login.oidc_tokens import LEEWAY_SECONDS, LOGOUT_LIFE_SECONDS, check_logout_token
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import LIFETIME_SECONDS, end_session
from shared.secret_tokens import digest_of

MOST_SESSIONS: Final = 20
"""Of one session at the provider; the newest are remembered."""
_REMEMBERED_MS: Final = (LOGOUT_LIFE_SECONDS + 2 * LEEWAY_SECONDS) * 1000


async def remember_session(resources: Resources, issuer: str, sid: str, session_digest: str) -> None:
    """Keeps which session of ours a session at the provider has begun."""
    key, redis = _sessions_key(issuer, sid), resources.bus.redis
    await asyncio.gather(
        redis.execute("LPUSH", key, session_digest),
        redis.execute("LTRIM", key, 0, MOST_SESSIONS - 1),
        redis.execute("EXPIRE", key, LIFETIME_SECONDS),
    )


async def log_out(resources: Resources, provider: OidcProvider, token: str) -> None:
    """Ends what a logout token names: with a ``sid`` that session, else every session of the person. Twice does nothing.

    Raises:
        TokenError: it is not to be believed.
        ProviderUnavailable: its keys cannot be read.
    """
    claims = await provider.claims_of(token)
    token_id, subject, sid = check_logout_token(
        claims,
        issuer=provider.issuer,
        client_id=provider.client_id,
        now=resources.clock.now() // 1000,
    )
    redis, known = resources.bus.redis, f"lk:oidc-jti:{digest_of(f'{provider.issuer} {token_id}')}"
    if await redis.execute("EXISTS", known):
        return
    if sid is not None:
        key = _sessions_key(provider.issuer, sid)
        digests: list[bytes] = await redis.execute("LRANGE", key, 0, MOST_SESSIONS - 1)
        await asyncio.gather(*(end_session(resources, digest.decode()) for digest in digests))
        await redis.execute("DEL", key)
    else:
        now = resources.clock.now()
        await resources.database.execute("end_sessions_of_identity", provider.issuer, subject, now)
    # Only now: where something above failed, the provider's next try ends it.
    await redis.execute("SET", known, "", "PX", _REMEMBERED_MS)


def _sessions_key(issuer: str, sid: str) -> str:
    return f"lk:oidc-sid:{digest_of(f'{issuer} {sid}')}"
