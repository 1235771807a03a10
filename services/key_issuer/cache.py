"""The verifier's memory: live records by SHA-256 of the key for seconds, never stale, and invalidations that keep them so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from services.key_issuer.records import LiveRecord

LIVE_SECONDS: Final = 5.0
UNKNOWN_SECONDS: Final = 1.0
INVALIDATION_SECONDS: Final = 2 * LIVE_SECONDS
STALE_AFTER_SECONDS: Final = 3.0
"""A verifier that has heard no entry of the revocations for so long is deaf: nothing that it remembers is believed."""


@dataclass(slots=True)
class Entry:
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
        self._live: dict[bytes, Entry] = {}
        self._unknown: dict[bytes, Entry] = {}
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

    def find(self, digest: bytes) -> Entry | None:
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
        now = self._monotonic()
        if now - self.last_heard_at >= STALE_AFTER_SECONDS:
            return True  # it would never be believed
        life = min(LIVE_SECONDS if record is not None else UNKNOWN_SECONDS, seconds)
        self._drop(digest)
        entries, most = (
            (self._live, self._live_entries) if record is not None else (self._unknown, self._unknown_entries)
        )
        while entries and (len(entries) >= most or next(iter(entries.values())).deadline <= now):
            self._drop(next(iter(entries)))
        entries[digest] = Entry(key_id, record, read.version, read.taken_at + life)
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
