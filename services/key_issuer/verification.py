"""Is this a live key? Shape and checksum, memory, then one indexed read; nothing stale, nothing guessed.

The memory holds live records by SHA-256 of the key for seconds, and invalidations that keep it right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from shared.api_key import ParsedKey, parse_key
from shared.clock import Clock
from shared.telemetry.metrics import Metrics

LONGEST_KEY: Final = 80
LIVE_SECONDS: Final = 5.0
UNKNOWN_SECONDS: Final = 1.0
INVALIDATION_SECONDS: Final = 2 * LIVE_SECONDS
STALE_AFTER_SECONDS: Final = 3.0
"""A verifier that has heard no entry of the revocations for so long is deaf: nothing that it remembers is believed."""
_REVOCATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class IssuerMetrics:
    """What the issuer counts besides requests and the bus."""

    def __init__(self, metrics: Metrics) -> None:
        """Registers the families."""
        self.revocation_seconds = metrics.histogram(
            "revocation_seconds",
            "From the commit that revoked or narrowed keys to their refusal by this verifier.",
            buckets=_REVOCATION_BUCKETS,
        )
        self.cache_entries = metrics.gauge("key_cache_entries", "Keys that this verifier remembers.")
        self.cache_misses = metrics.counter("key_cache_misses_total", "Checks that had to read the table.")
        self.gaps = metrics.counter("revocation_gaps_total", "Times that this verifier forgot everything.")


@dataclass(slots=True)
class LiveKey:
    """A user's key that was live when it was read; whoever answers from it looks at ``expires_on`` again."""

    key_id: str
    user_id: int
    username: str
    client_id: str | None
    permissions: tuple[str, ...]
    created_on: int
    expires_on: int | None
    used: bool
    """Some check has been written down; the first one is written at once."""
    asked_for: set[str] = field(default_factory=set)
    """Permissions whose use has been noted."""
    granted: frozenset[str] = frozenset()
    headers: CIMultiDictProxy[str] = field(default_factory=lambda: CIMultiDictProxy(CIMultiDict()))
    """The answer of a successful check, made once."""
    external_issuer: str | None = None
    """Who gives the person the id ``external_user``: ``site``, or an OpenID provider; ``None`` for an account of ours."""
    external_user: str | None = None
    facts: bytes | None = None
    """The answer of an introspection, made once."""


@dataclass(slots=True)
class LiveServiceKey:
    """A resource server's key that was live when it was read."""

    key_id: str
    name: str
    permissions: frozenset[str]


LiveRecord = LiveKey | LiveServiceKey


@dataclass(slots=True)
class CachedKey:
    """What a key was found to be, until when; ``record`` is ``None`` for one that is not live."""

    key_id: str
    record: LiveRecord | None
    version: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the memory before the table is read."""

    version: int
    taken_at: float


class KeyCache:
    """Bounded; entries leave oldest first. Times are seconds of the monotonic clock.

    A reader that fills it takes a snapshot before it reads the table. The entry is refused when the key was invalidated
    (revoked, narrowed) or everything was distrusted after that, since the row may be older; and its time to live begins
    with the snapshot, so that no row is believed longer than that after it stopped being true.
    """

    def __init__(
        self, monotonic: Callable[[], float], *, live_entries: int = 50_000, unknown_entries: int = 10_000
    ) -> None:
        """It is deaf until ``hear`` is called."""
        self._monotonic = monotonic
        self._live: dict[bytes, CachedKey] = {}
        self._unknown: dict[bytes, CachedKey] = {}
        self._live_entries = live_entries
        self._unknown_entries = unknown_entries
        self._digests: dict[str, set[bytes]] = {}
        self._invalidations: dict[str, tuple[int, float]] = {}
        self._version = 0
        self._distrusted = 0
        self.last_heard_at = float("-inf")
        """When an entry of the revocations, a heartbeat among them, was last read."""

    def __len__(self) -> int:
        return len(self._live) + len(self._unknown)

    @property
    def deaf(self) -> bool:
        """Whether revocations may have been missed: every check reads the table."""
        return self._monotonic() - self.last_heard_at >= STALE_AFTER_SECONDS

    def hear(self, key_ids: Iterable[str]) -> None:
        """An entry of the revocations was read: the keys to invalidate, none for a heartbeat."""
        if self.deaf:
            self.distrust()
        self.last_heard_at = self._monotonic()
        self.invalidate(key_ids)

    def find(self, digest: bytes) -> CachedKey | None:
        """The entry of this key if it may be believed now."""
        entry = self._live.get(digest) or self._unknown.get(digest)
        if entry is None or entry.version < self._distrusted:
            return None
        now = self._monotonic()
        if now >= entry.deadline or now - self.last_heard_at >= STALE_AFTER_SECONDS:
            return None
        return entry

    def snapshot(self) -> Snapshot:
        """To be taken before the table is read."""
        return Snapshot(self._version, self._monotonic())

    def store(
        self, digest: bytes, key_id: str, record: LiveRecord | None, read: Snapshot, seconds: float
    ) -> bool:
        """Remembers what was read after a snapshot; ``False`` where it may be outdated: the caller must read again.

        ``seconds``: how long the record stays true by itself.
        """
        invalidation = self._invalidations.get(key_id)
        if read.version < self._distrusted or (invalidation is not None and read.version < invalidation[0]):
            return False
        if self.deaf:
            return True  # it would never be believed
        now = self._monotonic()
        life = min(LIVE_SECONDS if record is not None else UNKNOWN_SECONDS, seconds)
        self._drop(digest)
        entries, most = (
            (self._live, self._live_entries) if record is not None else (self._unknown, self._unknown_entries)
        )
        while entries and (len(entries) >= most or next(iter(entries.values())).deadline <= now):
            self._drop(next(iter(entries)))
        entries[digest] = CachedKey(key_id, record, read.version, read.taken_at + life)
        self._digests.setdefault(key_id, set()).add(digest)
        return True

    def invalidate(self, key_ids: Iterable[str]) -> None:
        """Forgets keys that are worth less now and refuses what was read of them before."""
        now = self._monotonic()
        self._version += 1
        for key_id in key_ids:
            self._invalidations.pop(key_id, None)
            self._invalidations[key_id] = (self._version, now + INVALIDATION_SECONDS)
            for digest in tuple(self._digests.get(key_id, ())):
                self._drop(digest)
        while self._invalidations:
            key_id = next(iter(self._invalidations))
            if self._invalidations[key_id][1] > now:
                break
            del self._invalidations[key_id]

    def distrust(self) -> None:
        """Revocations may have been missed: what was read before now is not believed, but read again when it is used."""
        self._version += 1
        self._distrusted = self._version

    def _drop(self, digest: bytes) -> None:
        entry = self._live.pop(digest, None) or self._unknown.pop(digest, None)
        if entry is not None:
            digests = self._digests[entry.key_id]
            digests.discard(digest)
            if not digests:
                del self._digests[entry.key_id]


class Verifier:
    """Answers checks for one process, from its memory and, where that does not know, by ``read``."""

    def __init__(
        self,
        cache: KeyCache,
        clock: Clock,
        read: Callable[[bytes, ParsedKey], Awaitable[LiveRecord | None]],
    ) -> None:
        """``read`` looks a key up by its SHA-256 and its parts."""
        self._cache = cache
        self._clock = clock
        self._read = read

    async def live_key(self, token: str) -> LiveKey | None:
        """The user's key that ``token`` is, if it is live now; ``None`` for everything else alike.

        Raises:
            StoreUnavailable: it is not remembered and PostgreSQL does not answer.
        """
        record = await self._find(token)
        if not isinstance(record, LiveKey):
            return None
        expires_on = record.expires_on
        return record if expires_on is None or self._clock.now() < expires_on else None

    async def live_service_key(self, token: str) -> LiveServiceKey | None:
        """The service key that ``token`` is, if it is live now; raises as ``live_key`` does."""
        record = await self._find(token)
        return record if isinstance(record, LiveServiceKey) else None

    async def _find(self, token: str) -> LiveRecord | None:
        if len(token) > LONGEST_KEY or not token.isascii():
            return None
        digest = hashlib.sha256(token.encode("ascii")).digest()
        entry = self._cache.find(digest)
        if entry is not None:
            return entry.record
        parsed = parse_key(token)
        return None if parsed is None else await self._read(digest, parsed)
