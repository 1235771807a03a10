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
from shared.contracts.sessions import SessionUser
from shared.errors import StoreUnavailable
from shared.secret_tokens import random_base62, session_digest
from shared.web.cookies import SESSION_SECONDS

ID_LENGTH: Final = 43
"""256 bits in base62."""
IDLE_SECONDS: Final = 14 * 24 * 3600
LIFETIME_SECONDS: Final = SESSION_SECONDS
"""A session ends after 14 days without a visit, and after 90 days in any case."""
_TOUCH_SECONDS: Final = 12 * 3600
"""A visit moves the idle end at most this often: a look-up is a read, not a write."""
MOST_SESSIONS: Final = 50
"""Live sessions of one account; a new one more ends the oldest."""
_BEGINNING_SECONDS: Final = 60
"""How long a session lives that is not on its account's list yet: one whose sign-in died half-way is soon gone."""


async def start_session(
    resources: Resources, account: Account, replaced: str | None = None, person: str | None = None
) -> str:
    """Signs the person in; the new session id, for the cookie alone. For ``person`` see ``session_digest``.

    ``replaced`` is the id that the browser presented until now, if any: dead from here on, never taken over
    (session fixation). Where the account has more than ``MOST_SESSIONS`` now, its oldest are dead too.
    """
    session_id = random_base62(ID_LENGTH)
    now = resources.clock.now()
    record = f"{account.user_id}:{account.session_epoch}:{now}"
    redis, digest = resources.bus.redis, session_digest(session_id, person)
    if replaced is not None:
        await end_every_session(resources, replaced)
    # A session is made before it is listed and listed before it is given out, so whoever finds too many on the list can
    # end each of them. The keys lie in different slots of a cluster: no script could do it in one step.
    await redis.execute("SET", _name(digest), record, "EX", _BEGINNING_SECONDS)
    if person is not None:
        await redis.execute("SET", _named_name(session_id), digest, "EX", LIFETIME_SECONDS)
    account_list = f"lk:sessions:{account.user_id}"
    listed = await redis.execute("RPUSH", account_list, digest)
    await redis.execute("EXPIRE", account_list, LIFETIME_SECONDS)
    await redis.execute("EXPIRE", _name(digest), IDLE_SECONDS)
    if listed > MOST_SESSIONS:
        await _end_oldest(resources, account_list)
    return session_id


async def _end_oldest(resources: Resources, account_list: str) -> None:
    """Shortens an account's list to its newest live sessions, and ends those that leave it.

    What is ended leaves the list last, so that a sign-in which dies before that leaves it to the next one.
    """
    redis = resources.bus.redis
    listed = [digest.decode() for digest in await redis.execute("LRANGE", account_list, 0, -1)]
    there = await asyncio.gather(*(redis.execute("EXISTS", _name(digest)) for digest in listed))
    live = [digest for digest, is_there in zip(listed, there, strict=True) if is_there]
    kept = set(live[-MOST_SESSIONS:])
    leaving = [digest for digest in listed if digest not in kept]
    await asyncio.gather(*(redis.execute("DEL", _name(digest)) for digest in leaving))
    await asyncio.gather(*(redis.execute("LREM", account_list, 1, digest) for digest in leaving))


async def read_session(resources: Resources, cookie_digest: str) -> SessionUser | None:
    """The person signed in with the session whose id has this digest, or ``None``.

    Unknown, ended, too old, of a disabled account, or made before the password changed: all the same.
    """
    redis, name = resources.bus.redis, _name(cookie_digest)
    record, seconds_left = await asyncio.gather(redis.execute("GET", name), redis.execute("TTL", name))
    if record is None:
        return None
    user_id, epoch, begun_on = map(int, record.split(b":"))
    lifetime_left = LIFETIME_SECONDS - (resources.clock.now() - begun_on) // 1000
    if lifetime_left <= 0:
        return None
    account = await find_active_user(resources, user_id)
    if account is None or account.session_epoch != epoch:
        return None
    idle_end = min(IDLE_SECONDS, lifetime_left)
    if idle_end - int(seconds_left) > _TOUCH_SECONDS:
        await redis.execute("EXPIRE", name, idle_end)
    return account.to_session_user()


async def end_session(resources: Resources, cookie_digest: str, peer: str | None = None) -> None:
    """Signs out: dead on the server when it returns; also when there was no such session.

    Signing out needs Redis alone: where PostgreSQL does not answer it is not in the audit.
    """
    record = await resources.bus.redis.execute("GETDEL", _name(cookie_digest))
    if record is not None:
        user_id, _, _ = map(int, record.split(b":"))
        with suppress(StoreUnavailable):
            await count_act(resources, own_act(user_id, "session.ended", peer))


async def end_every_session(resources: Resources, session_id: str) -> None:
    """Ends what a browser's cookie stands for, also where it began with a header that now names somebody else."""
    redis = resources.bus.redis
    named = await redis.execute("GET", _named_name(session_id))
    await redis.execute("DEL", _name(session_digest(session_id)))
    if named is not None:
        await redis.execute("DEL", _name(named.decode()))
        await redis.execute("DEL", _named_name(session_id))


def _name(digest: str) -> str:
    return f"lk:session:{digest}"


def _named_name(session_id: str) -> str:
    """Where it is kept under what a session that began with a header is kept."""
    return f"lk:session-named:{session_digest(session_id)}"
