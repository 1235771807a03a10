"""Sessions: who is signed in, kept in Redis under the digest of the cookie and checked against the account.

Everything here raises ``StoreUnavailable`` where Redis or PostgreSQL does not answer: then nothing is known, not even
that a session ended.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from services.auth_api.accounts.service import Account, find_active_user
from services.auth_api.audit import count_act, own_act
from services.auth_api.resources import Resources
from services.auth_api.sessions.records import (
    LONGEST_AGENT,
    SessionOrigin,
    SessionRecord,
    end_sessions,
    keep_session,
    record_of,
    session_name,
)
from shared.contracts.sessions import SessionUser
from shared.errors import StoreUnavailable
from shared.secret_tokens import digest_of, random_base62
from shared.web.cookies import SESSION_SECONDS

ID_LENGTH: Final = 43
"""256 bits in base62."""
IDLE_SECONDS: Final = 14 * 24 * 3600
LIFETIME_SECONDS: Final = SESSION_SECONDS
"""A session ends after 14 days without a visit, and after 90 days in any case."""
_TOUCH_SECONDS: Final = 12 * 3600
"""A visit moves the idle end at most this often: a look-up is a read, not a write."""


async def start_session(
    resources: Resources,
    account: Account,
    replaced: str | None = None,
    *,
    peer: str | None = None,
    user_agent: str = "",
) -> str:
    """Signs the person in; the new session id, for the cookie alone.

    ``replaced`` is the id that the browser presented until now, if any: dead from here on, never taken over
    (session fixation). ``peer`` and the browser's own words are kept for the person's list of sessions.
    """
    session_id, redis, now = random_base62(ID_LENGTH), resources.bus.redis, resources.clock.now()
    record = SessionRecord(account.user_id, account.session_epoch, now)
    agent = "".join(filter(str.isprintable, user_agent[:LONGEST_AGENT])) or None
    await keep_session(redis, digest_of(session_id), record, SessionOrigin(now, peer, agent), IDLE_SECONDS)
    if replaced is not None:
        await redis.execute("DEL", session_name(digest_of(replaced)))
    return session_id


async def read_session(resources: Resources, cookie_digest: str) -> SessionUser | None:
    """The person signed in with the session whose id has this digest, or ``None``.

    Unknown, ended, too old, of a disabled account, or made before the password changed: all the same.
    """
    redis, name = resources.bus.redis, session_name(cookie_digest)
    value, seconds_left = await asyncio.gather(redis.execute("GET", name), redis.execute("TTL", name))
    if value is None:
        return None
    record = record_of(value)
    lifetime_left = LIFETIME_SECONDS - (resources.clock.now() - record.begun_on) // 1000
    if lifetime_left <= 0:
        return None
    account = await find_active_user(resources, record.user_id)
    if account is None or account.session_epoch != record.epoch:
        return None
    idle_end = min(IDLE_SECONDS, lifetime_left)
    if idle_end - int(seconds_left) > _TOUCH_SECONDS:
        await redis.execute("EXPIRE", name, idle_end)
    return account.to_session_user()


async def end_session(resources: Resources, cookie_digest: str, peer: str | None = None) -> None:
    """Signs out: dead on the server when it returns; also when there was no such session.

    Signing out needs Redis alone: where PostgreSQL does not answer it is not in the audit.
    """
    redis = resources.bus.redis
    value = await redis.execute("GET", session_name(cookie_digest))
    if value is not None:
        user_id = record_of(value).user_id
        await end_sessions(redis, user_id, [cookie_digest])
        with suppress(StoreUnavailable):
            await count_act(resources, own_act(user_id, "session.ended", peer))
