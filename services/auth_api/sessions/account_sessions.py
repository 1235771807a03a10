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
    end_sessions,
    list_digests,
    record_of,
    session_name,
)
from services.auth_api.sessions.service import IDLE_SECONDS, LIFETIME_SECONDS
from shared.contracts.sessions import SessionUser, SessionView
from shared.secret_tokens import keyed_digest

_ID_LENGTH: Final = 32


async def list_sessions(resources: Resources, user_id: int, current: str) -> tuple[SessionView, ...]:
    """The live sessions of a person, the ``current`` one (the digest of its cookie) first, then the newest."""
    redis = resources.bus.redis
    listed = await list_digests(redis, user_id)
    listed.setdefault(current, SessionOrigin(0))  # of the release before, which kept no list
    digests = list(listed)
    epoch, *found = await asyncio.gather(
        _epoch(resources, user_id),
        *(redis.execute("GET", session_name(digest)) for digest in digests),
        *(redis.execute("TTL", session_name(digest)) for digest in digests),
    )
    values, lives = found[: len(digests)], found[len(digests) :]
    views, ended = [], []
    for digest, value, seconds_left in zip(digests, values, lives, strict=True):
        record = None if value is None else record_of(value)
        if record is None or (record.user_id, record.epoch) != (user_id, epoch):
            ended.append(digest)
        else:
            views.append(_view(resources, digest, record, listed[digest], int(seconds_left), current))
    await end_sessions(redis, user_id, ended)
    return tuple(sorted(views, key=lambda view: (not view.current, -view.created_on)))


async def end_own_session(resources: Resources, user_id: int, session_id: str, peer: str | None) -> bool:
    """Ends one session of a person by its public id; whether there was one."""
    listed = await list_digests(resources.bus.redis, user_id)
    found = [digest for digest in listed if public_id(resources, digest) == session_id]
    await end_sessions(resources.bus.redis, user_id, found)
    if found:
        await count_act(resources, own_act(user_id, "session.ended", peer))
    return bool(found)


async def end_other_sessions(resources: Resources, user: SessionUser, current: str, peer: str | None) -> None:
    """Ends every session of a person but the ``current`` one: dead when this returns, also those that no list names.

    Where this fails half-way the current one is over too, and the person signs in again.
    """
    redis, database = resources.bus.redis, resources.database
    async with database.transaction() as connection:
        epoch = await connection.fetchval(database.sql["end_sessions"], user.user_id)
        await count_act_within(resources, connection, own_act(user.user_id, "sessions.ended", peer))
    value = await redis.execute("GET", session_name(current))
    if value is not None and epoch is not None:
        record = SessionRecord(user.user_id, epoch, record_of(value).begun_on)
        await redis.execute("SET", session_name(current), record.to_redis(), "XX", "KEEPTTL")
    others = [digest for digest in await list_digests(redis, user.user_id) if digest != current]
    await end_sessions(redis, user.user_id, others)


def public_id(resources: Resources, digest: str) -> str:
    """What a session is called outside: neither the cookie nor its digest, which acts for the person on the bus."""
    return keyed_digest(resources.settings.secret, "session id", digest)[:_ID_LENGTH]


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
