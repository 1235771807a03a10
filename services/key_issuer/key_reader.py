"""Keys read from the table: whatever checks wait for at one time is read in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import structlog
from asyncpg import Record
from multidict import CIMultiDict, CIMultiDictProxy

from services.key_issuer.issuer import Issuer
from services.key_issuer.verification import IssuerMetrics, LiveKey, LiveRecord, LiveServiceKey, Snapshot
from shared.api_key import SERVICE_KEY, ParsedKey
from shared.errors import StoreUnavailable
from shared.failpoints import ARMED, failpoint

LONGEST_READ_SECONDS: Final = 3.5
"""A check is answered in time, if only that there is no answer."""
STATEMENTS_AT_ONCE: Final = 2
KEYS_AT_ONCE: Final = 500
_READS: Final = 5
_FOREVER: Final = float("inf")

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Wanted:
    """A key that is to be read, and the checks that wait for it."""

    parsed: ParsedKey
    asked_at: float
    """By the clock of the event loop."""
    checks: list[asyncio.Future[LiveRecord | None]] = field(default_factory=list)
    reads: int = 0

    def answer(self, record: LiveRecord | None) -> None:
        for check in self.checks:
            if not check.done():
                check.set_result(record)

    def fail(self, error: Exception) -> None:
        for check in self.checks:
            if not check.done():
                check.set_exception(error)


_Batch = dict[bytes, _Wanted]
_Records = dict[bytes, LiveRecord | None]
"""Both by SHA-256 of the key."""


class KeyReader:
    """Reads for one process, and fills its memory.

    What is wanted in one turn of the event loop, or while two statements are under way, goes into the next statement.
    A key that is being read is not read again at the same time, unless this verifier is deaf: then each check is answered
    from a statement that began after the check did. One timer for each statement, and none for each check (8 µs), ends
    what takes too long: while two statements hang, what waits behind them grows as old as they are.
    """

    def __init__(self, issuer: Issuer, counts: IssuerMetrics) -> None:
        """Nothing is wanted yet."""
        self._issuer = issuer
        self._counts = counts
        self._wanted: _Batch = {}
        self._reading: _Batch = {}
        self._statements: set[asyncio.Task[None]] = set()

    async def read(self, digest: bytes, parsed: ParsedKey) -> LiveRecord | None:
        """What the table says of the key with this SHA-256; ``None`` where it is not live.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
        """
        loop = asyncio.get_running_loop()
        wanted = self._wanted.get(digest)
        if wanted is None and not self._issuer.cache.deaf:
            wanted = self._reading.get(digest)
        if wanted is None:
            if not self._wanted:
                loop.call_soon(self._begin)
            wanted = self._wanted[digest] = _Wanted(parsed, loop.time())
        check: asyncio.Future[LiveRecord | None] = loop.create_future()
        wanted.checks.append(check)
        return await check

    def _begin(self) -> None:
        while self._wanted and len(self._statements) < STATEMENTS_AT_ONCE:
            batch = {digest: self._wanted.pop(digest) for digest in list(self._wanted)[:KEYS_AT_ONCE]}
            self._reading |= batch
            task = asyncio.create_task(self._read(batch))
            self._statements.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._statements.discard(task)
        self._begin()

    async def _read(self, batch: _Batch) -> None:
        """Reads a batch and answers what waits for it, in time also where the driver does not come back."""
        self._counts.cache_misses.inc(len(batch))
        snapshot = self._issuer.cache.snapshot()
        oldest = min(wanted.asked_at for wanted in batch.values())
        loading = asyncio.create_task(self._load(batch))
        loading.add_done_callback(
            lambda late: late.cancelled() or late.exception()
        )  # told here or to no check
        left = oldest + LONGEST_READ_SECONDS - asyncio.get_running_loop().time()
        await asyncio.wait({loading}, timeout=max(0.0, left))
        for digest, wanted in batch.items():
            if self._reading.get(digest) is wanted:
                del self._reading[digest]
        try:
            self._answer(batch, _result(loading), snapshot)
        except Exception as error:  # noqa: BLE001 - each check that waits for it tells
            for wanted in batch.values():
                wanted.fail(error)

    def _answer(self, batch: _Batch, records: _Records, snapshot: Snapshot) -> None:
        """Remembers what was read; a key that was invalidated during the read waits for another one."""
        now = self._issuer.clock.now()
        for digest, wanted in batch.items():
            record = records.get(digest)
            seconds = _FOREVER
            if isinstance(record, LiveKey) and record.expires_on is not None:
                seconds = (record.expires_on - now) / 1000
            if self._issuer.cache.store(digest, wanted.parsed.key_id, record, snapshot, seconds):
                wanted.answer(record)
            else:
                self._read_again(digest, wanted)

    def _read_again(self, digest: bytes, wanted: _Wanted) -> None:
        wanted.reads += 1
        if wanted.reads == _READS:
            wanted.fail(StoreUnavailable("postgres", "a key changes faster than it can be read"))
        elif digest in self._wanted:
            self._wanted[digest].checks += wanted.checks
        else:
            self._wanted[digest] = wanted

    async def _load(self, batch: _Batch) -> _Records:
        """What these keys are; those that there are not are left out."""
        users = {digest: each.parsed for digest, each in batch.items() if each.parsed.kind != SERVICE_KEY}
        services = {digest: each.parsed for digest, each in batch.items() if digest not in users}
        now = self._issuer.clock.now()
        found: _Records = {}
        if users:
            for digest, row in await self._proven("read_keys", "reseal_keys", users):
                found[digest] = _live_key(row, now)
        if services:
            for digest, row in await self._proven("read_service_keys", "reseal_service_keys", services):
                found[digest] = _live_service_key(row)
        if ARMED:
            await failpoint("key_issuer.verify.read")
        return found

    async def _proven(
        self, query: str, reseal: str, keys: Mapping[bytes, ParsedKey]
    ) -> list[tuple[bytes, Record]]:
        """The rows of those keys whose secret is right, too."""
        key_ids = list({parsed.key_id for parsed in keys.values()})
        rows = {row["key_id"]: row for row in await self._issuer.database.fetch(query, key_ids)}
        peppers = self._issuer.peppers
        proven = [
            (digest, row)
            for digest, parsed in keys.items()
            if (row := rows.get(parsed.key_id)) is not None
            and peppers.matches(digest.hex(), row["digest"], row["pepper_version"])
        ]
        await self._reseal(
            reseal, [(digest, row) for digest, row in proven if row["pepper_version"] != peppers.current]
        )
        return proven

    async def _reseal(self, query: str, outdated: Iterable[tuple[bytes, Record]]) -> None:
        """Keeps used keys' digests under the newest pepper, so that the older one can go some day."""
        peppers = self._issuer.peppers
        columns = [
            (row["key_id"], peppers.seal(digest.hex()), row["pepper_version"]) for digest, row in outdated
        ]
        if not columns:
            return
        try:
            await self._issuer.database.execute(
                query, *map(list, zip(*columns, strict=True)), peppers.current
            )
        except StoreUnavailable as error:
            _log.warning("digests_not_resealed", keys=len(columns), reason=str(error))


def _result(loading: asyncio.Task[_Records]) -> _Records:
    """What was read by now.

    Raises:
        StoreUnavailable: nothing; what comes after its time is told to no check.
    """
    if loading.cancel():
        raise StoreUnavailable("postgres", "no answer in time")
    return loading.result()


def _live_key(row: Record, now: int) -> LiveKey | None:
    expires_on: int | None = row["expires_on"]
    if row["status"] != "active" or (expires_on is not None and expires_on <= now):
        return None
    permissions = tuple(row["permissions"])
    return LiveKey(
        key_id=row["key_id"],
        user_id=row["user_id"],
        username=row["username"],
        external_issuer=row["external_issuer"],
        external_user=row["external_user"],
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
    if row["external_user"] is not None:
        headers["X-Latchkey-External-User"] = _quoted(row["external_user"])
        headers["X-Latchkey-External-Issuer"] = _quoted(row["external_issuer"])
    if row["client_id"] is not None:
        headers["X-Latchkey-Client"] = row["client_id"]
    return headers


def _quoted(text: str) -> str:
    """As a header can carry any text: UTF-8, percent-encoded but for what RFC 3986 §2.3 calls unreserved."""
    return quote(text, safe="")
