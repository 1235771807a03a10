"""Is this a live key? Shape and checksum, memory, then one indexed read; nothing stale, nothing guessed."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import structlog
from asyncpg import Record
from multidict import CIMultiDict, CIMultiDictProxy

from services.key_issuer.issuer import Issuer
from services.key_issuer.last_use import LastUse
from services.key_issuer.metrics import IssuerMetrics
from services.key_issuer.records import LiveKey, LiveRecord, LiveServiceKey
from shared.api_key import SERVICE_KEY, ParsedKey, parse_key
from shared.errors import StoreUnavailable
from shared.failpoints import failpoint

LONGEST_KEY: Final = 80
LONGEST_READ_SECONDS: Final = 3.5
"""Whoever checks a key gets an answer in time, if only that there is none."""
_READS: Final = 5
_FOREVER: Final = float("inf")

_log = structlog.get_logger(__name__)


class Verifier:
    """Answers checks for one process."""

    def __init__(self, issuer: Issuer, last_use: LastUse, counts: IssuerMetrics) -> None:
        """``last_use`` takes the notes of successful checks."""
        self.last_use = last_use
        self._counts = counts
        self._issuer = issuer
        self._clock = issuer.clock
        self._cache = issuer.cache
        self._reads: dict[bytes, asyncio.Task[LiveRecord | None]] = {}

    async def live_key(self, token: str) -> LiveKey | None:
        """The user's key that ``token`` is, if it is live now; ``None`` for everything else alike.

        Raises:
            StoreUnavailable: it is not remembered and PostgreSQL does not answer.
        """
        record = await self._find(token)
        return record if isinstance(record, LiveKey) else None

    async def live_service_key(self, token: str) -> LiveServiceKey | None:
        """The service key that ``token`` is, if it is live now.

        Raises:
            StoreUnavailable: it is not remembered and PostgreSQL does not answer.
        """
        record = await self._find(token)
        return record if isinstance(record, LiveServiceKey) else None

    def remembered(self, token: str) -> LiveKey | None:
        """The live user's key that ``token`` is, if that is known without a look at the table. No I/O."""
        try:
            digest = hashlib.sha256(token.encode("ascii")).digest()
        except UnicodeEncodeError:
            return None
        entry = self._cache.find(digest)
        if entry is None or not isinstance(entry.record, LiveKey):
            return None
        return entry.record if _unexpired(entry.record, self._clock.now()) else None

    async def _find(self, token: str) -> LiveRecord | None:
        if len(token) > LONGEST_KEY or not token.isascii():
            return None
        digest = hashlib.sha256(token.encode("ascii")).digest()
        entry = self._cache.find(digest)
        if entry is None:
            parsed = parse_key(token)
            if parsed is None:
                return None
            record = await self._read_once(digest, parsed)
        else:
            record = entry.record
        if isinstance(record, LiveKey) and not _unexpired(record, self._clock.now()):
            return None
        return record

    async def _read_once(self, digest: bytes, parsed: ParsedKey) -> LiveRecord | None:
        """One read per key at a time; who leaves early does not take it from the others."""
        task = self._reads.get(digest)
        if task is None:
            self._counts.cache_misses.inc()
            task = asyncio.create_task(self._read(digest, parsed))
            self._reads[digest] = task
            task.add_done_callback(lambda done: self._finished(digest, done))
        async with asyncio.timeout(LONGEST_READ_SECONDS):
            return await asyncio.shield(task)

    def _finished(self, digest: bytes, task: asyncio.Task[LiveRecord | None]) -> None:
        del self._reads[digest]
        if not task.cancelled():
            task.exception()

    async def _read(self, digest: bytes, parsed: ParsedKey) -> LiveRecord | None:
        """Reads until no news of this key arrived during the read."""
        for _ in range(_READS):
            ticket = self._cache.ticket()
            record = await self._load(digest.hex(), parsed)
            await failpoint("key_issuer.verify.read")
            now = self._clock.now()
            seconds = _FOREVER
            if isinstance(record, LiveKey) and record.expires_on is not None:
                seconds = (record.expires_on - now) / 1000
            if self._cache.store(digest, parsed.key_id, record, ticket, seconds):
                return record
        raise StoreUnavailable("postgres", "a key changes faster than it can be read")

    async def _load(self, digest: str, parsed: ParsedKey) -> LiveRecord | None:
        service = parsed.kind == SERVICE_KEY
        row = await self._issuer.database.fetchrow(
            "read_service_key" if service else "read_key", parsed.key_id
        )
        peppers = self._issuer.peppers
        if row is None or not peppers.matches(digest, row["digest"], row["pepper_version"]):
            return None
        record = _live_service_key(row) if service else _live_key(row, self._clock.now())
        if record is not None and row["pepper_version"] != peppers.current:
            await self._reseal(digest, parsed.key_id, row["pepper_version"], service=service)
        return record

    async def _reseal(self, digest: str, key_id: str, version: int, *, service: bool) -> None:
        """Keeps a used key's digest under the newest pepper, so that the older one can go some day."""
        peppers = self._issuer.peppers
        query = "reseal_service_key" if service else "reseal_key"
        try:
            await self._issuer.database.execute(query, key_id, peppers.seal(digest), peppers.current, version)
        except StoreUnavailable as error:
            _log.warning("digest_not_resealed", key_id=key_id, reason=str(error))


def _unexpired(key: LiveKey, now: int) -> bool:
    return key.expires_on is None or now < key.expires_on


def _live_key(row: Record, now: int) -> LiveKey | None:
    expires_on: int | None = row["expires_on"]
    if row["status"] != "active" or (expires_on is not None and expires_on <= now):
        return None
    permissions = tuple(row["permissions"])
    return LiveKey(
        key_id=row["key_id"],
        user_id=row["user_id"],
        username=row["username"],
        client_id=row["client_id"],
        permissions=permissions,
        created_on=row["created_on"],
        expires_on=expires_on,
        used=row["last_used_on"] is not None,
        asked_for=set(row["used_permissions"]),
        granted=frozenset(permissions),
        headers=CIMultiDictProxy(_headers(row, permissions)),
    )


def _live_service_key(row: Record) -> LiveServiceKey | None:
    if row["ended_on"] is not None:
        return None
    return LiveServiceKey(key_id=row["key_id"], name=row["name"], permissions=frozenset(row["permissions"]))


def _headers(row: Record, permissions: tuple[str, ...]) -> CIMultiDict[str]:
    headers = CIMultiDict(
        {
            "X-Latchkey-User": str(row["user_id"]),
            "X-Latchkey-Username": row["username"],
            "X-Latchkey-Key": row["key_id"],
            "X-Latchkey-Permissions": " ".join(permissions),
            "Cache-Control": "no-store",
        }
    )
    if row["client_id"] is not None:
        headers["X-Latchkey-Client"] = row["client_id"]
    return headers
