"""Sessions as Redis keeps them: each under the digest of its cookie, and which of them an account has.

A session's record holds what decides (whose, the epoch, since when) and is read with every request; the account's list
holds what the person is shown (from where). The list is a help to find sessions, no proof: what it names may have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from shared.redis.client import CoalescingRedis
from shared.web.cookies import SESSION_SECONDS

MOST_SESSIONS: Final = 50
"""Of one account; signing in once more ends the oldest."""
LONGEST_AGENT: Final = 200
"""Characters that are kept of what a browser says of itself."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What decides whether a session lives."""

    user_id: int
    epoch: int
    begun_on: int
    """Unix milliseconds."""

    def to_redis(self) -> str:
        """As every release reads it."""
        return f"{self.user_id}:{self.epoch}:{self.begun_on}"


@dataclass(frozen=True, slots=True)
class SessionOrigin:
    """From where a person signed in, as far as it was kept."""

    begun_on: int
    peer: str | None = None
    user_agent: str | None = None


def session_name(digest: str) -> str:
    """Where the record is."""
    return f"lk:session:{digest}"


def record_of(value: bytes) -> SessionRecord:
    """The record as it was kept."""
    return SessionRecord(*map(int, value.split(b":")))


async def list_digests(redis: CoalescingRedis, user_id: int) -> dict[str, SessionOrigin]:
    """The sessions that an account is said to have, the digests of their cookies, oldest first."""
    flat = await redis.execute("HGETALL", _list_name(user_id))
    found = {
        digest.decode(): SessionOrigin(*orjson.loads(value))
        for digest, value in zip(flat[::2], flat[1::2], strict=True)
    }
    return dict(sorted(found.items(), key=lambda item: item[1].begun_on))


async def keep_session(
    redis: CoalescingRedis, digest: str, record: SessionRecord, origin: SessionOrigin, seconds: int
) -> None:
    """Keeps a new session, and ends the oldest of its account where there are too many."""
    listed = _list_name(record.user_id)
    value = orjson.dumps([origin.begun_on, origin.peer, origin.user_agent])
    _, _, _, count = await asyncio.gather(
        redis.execute("SET", session_name(digest), record.to_redis(), "EX", seconds),
        redis.execute("HSET", listed, digest, value),
        redis.execute("EXPIRE", listed, SESSION_SECONDS),
        redis.execute("HLEN", listed),
    )
    if count > MOST_SESSIONS:
        oldest = list(await list_digests(redis, record.user_id))[: count - MOST_SESSIONS]
        await end_sessions(redis, record.user_id, oldest)


async def end_sessions(redis: CoalescingRedis, user_id: int, digests: Iterable[str]) -> None:
    """Ends sessions of an account; those that had ended leave its list."""
    ended = list(digests)
    if ended:
        await asyncio.gather(
            redis.execute("HDEL", _list_name(user_id), *ended),
            *(redis.execute("DEL", session_name(digest)) for digest in ended),
        )


def _list_name(user_id: int) -> str:
    return f"lk:sessions:{user_id}"
