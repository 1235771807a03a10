"""What Redis keeps of a session: under the digest of its cookie what decides, beside it from where the person came.

A record is read with every request, by the release before too: it holds what decides and nothing else. What the person is
shown lies beside it and lives as long. An account's list of digests is a help to find its sessions, no proof: some of
them may have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from shared.redis.client import CoalescingRedis

LONGEST_AGENT: Final = 120
"""Characters that are kept of what a browser says of itself."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What decides whether a session lives."""

    user_id: int
    epoch: int
    begun_on: int
    """Unix milliseconds."""

    @classmethod
    def of(cls, value: bytes) -> SessionRecord:
        """As it was kept."""
        return cls(*map(int, value.split(b":")))

    def __str__(self) -> str:
        """As every release reads it."""
        return f"{self.user_id}:{self.epoch}:{self.begun_on}"


@dataclass(frozen=True, slots=True)
class SessionOrigin:
    """From where a person signed in, as far as it is known."""

    peer: str | None = None
    user_agent: str | None = None
    """The browser's own words: a claim."""

    @classmethod
    def of(cls, value: bytes | None) -> SessionOrigin:
        """As it was kept; of the release before nothing was."""
        return cls() if value is None else cls(*orjson.loads(value))

    def to_redis(self) -> bytes:
        """Without characters that nobody can see, and no longer than its reader needs."""
        agent = "".join(filter(str.isprintable, (self.user_agent or "")[:LONGEST_AGENT]))
        return orjson.dumps([self.peer, agent or None])


def session_name(digest: str) -> str:
    """Where the record is."""
    return f"lk:session:{digest}"


def origin_name(digest: str) -> str:
    """Where it lies from where the person came."""
    return f"lk:session-origin:{digest}"


def list_name(user_id: int) -> str:
    """Where the sessions of an account are listed, the newest last."""
    return f"lk:sessions:{user_id}"


async def delete_sessions(redis: CoalescingRedis, digests: Iterable[str]) -> None:
    """Ends sessions: dead when this returns. Their accounts' lists go on naming them."""
    names = [name for digest in digests for name in (session_name(digest), origin_name(digest))]
    await asyncio.gather(*(redis.execute("DEL", name) for name in names))
