"""The sessions of one person, as they see and end them.

Everything here raises ``StoreUnavailable`` where Redis or PostgreSQL does not answer.
"""

from __future__ import annotations

import asyncio
from typing import Final

from services.auth_api.audit import count_act, count_act_within, own_act
from services.auth_api.resources import Resources
from services.auth_api.sessions.records import (
    SessionOrigin,
    SessionRecord,
    delete_sessions,
    list_name,
    origin_name,
    session_name,
)
from services.auth_api.sessions.service import IDLE_SECONDS, LIFETIME_SECONDS
from shared.contracts.sessions import SessionUser, SessionView
from shared.secret_tokens import keyed_digest

_ID_LENGTH: Final = 32


async def list_sessions(resources: Resources, user_id: int, current: str) -> tuple[SessionView, ...]:
    """The live sessions of a person, the ``current`` one (the digest of its cookie) first, then the newest."""
    redis = resources.bus.redis
    # One of the release before may be on no list; the asking one lives all the same.
    digests = list(dict.fromkeys([*await _listed(resources, user_id), current]))
    epoch, *found = await asyncio.gather(
        _epoch(resources, user_id),
        *(redis.execute("GET", session_name(digest)) for digest in digests),
        *(redis.execute("GET", origin_name(digest)) for digest in digests),
        *(redis.execute("TTL", session_name(digest)) for digest in digests),
    )
    count, views = len(digests), []
    for digest, value, origin, left in zip(
        digests, found[:count], found[count : 2 * count], found[2 * count :], strict=True
    ):
        record = None if value is None else SessionRecord.of(value)
        if record is not None and (record.user_id, record.epoch) == (user_id, epoch):
            views.append(_view(resources, digest, record, SessionOrigin.of(origin), int(left), current))
    return tuple(sorted(views, key=lambda view: (not view.current, -view.created_on)))


async def end_own_session(resources: Resources, user_id: int, session_id: str, peer: str | None) -> bool:
    """Ends one session of a person by its public id; whether there was one."""
    redis = resources.bus.redis
    for digest in await _listed(resources, user_id):
        if public_id(resources, digest) == session_id:
            there = bool(await redis.execute("EXISTS", session_name(digest)))
            await delete_sessions(redis, [digest])
            await redis.execute("LREM", list_name(user_id), 1, digest)
            if there:
                await count_act(resources, own_act(user_id, "session.ended", peer))
            return there
    return False


async def end_other_sessions(resources: Resources, user: SessionUser, current: str, peer: str | None) -> None:
    """Ends every session of a person but the ``current`` one: dead when this returns, also those that no list names.

    Where this fails half-way the current one is over too, and the person signs in again.
    """
    redis, database = resources.bus.redis, resources.database
    value = await redis.execute("GET", session_name(current))
    if value is None:
        return
    record = SessionRecord.of(value)
    async with database.transaction() as connection:
        # Of the epoch that was read: a session that another change has ended meanwhile is not brought back to life.
        query = database.sql["end_sessions"]
        epoch = await connection.fetchval(query, user.user_id, record.epoch)
        if epoch is None:
            return
        await count_act_within(resources, connection, own_act(user.user_id, "sessions.ended", peer))
    kept = SessionRecord(user.user_id, epoch, record.begun_on)
    await redis.execute("SET", session_name(current), str(kept), "XX", "KEEPTTL")
    # They are dead by their epoch; here they also leave Redis.
    others = [digest for digest in await _listed(resources, user.user_id) if digest != current]
    await delete_sessions(redis, others)
    await asyncio.gather(*(redis.execute("LREM", list_name(user.user_id), 1, digest) for digest in others))


def public_id(resources: Resources, digest: str) -> str:
    """What a session is called outside: neither the cookie nor its digest, which acts for the person on the bus."""
    return keyed_digest(resources.settings.secret, "session id", digest)[:_ID_LENGTH]


async def _listed(resources: Resources, user_id: int) -> list[str]:
    """The digests of an account's sessions, oldest first; some may have ended."""
    return [
        digest.decode() for digest in await resources.bus.redis.execute("LRANGE", list_name(user_id), 0, -1)
    ]


async def _epoch(resources: Resources, user_id: int) -> int | None:
    row = await resources.database.fetchrow("find_user", user_id)
    return None if row is None else int(row["session_epoch"])


def _view(
    resources: Resources,
    digest: str,
    record: SessionRecord,
    origin: SessionOrigin,
    seconds_left: int,
    current: str,
) -> SessionView:
    now = resources.clock.now()
    # A visit moves the idle end, at most every twelve hours: what is missing of it is how long ago the last one was.
    whole = min(IDLE_SECONDS, LIFETIME_SECONDS - (now - record.begun_on) // 1000)
    idle_ms = max(0, whole - seconds_left) * 1000
    return SessionView(
        session_id=public_id(resources, digest),
        created_on=record.begun_on,
        last_seen_on=now if digest == current else max(record.begun_on, now - idle_ms),
        peer=origin.peer,
        user_agent=origin.user_agent,
        current=digest == current,
    )
