"""The verifier's memory: live records by SHA-256 of the key for seconds, never stale, and graves that keep them so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from services.key_issuer.records import LiveRecord

LIVE_SECONDS: Final = 5.0
UNKNOWN_SECONDS: Final = 1.0
GRAVE_SECONDS: Final = 2 * LIVE_SECONDS
DEAF_SECONDS: Final = 3.0
"""Without a completed read of the revocations for so long, nothing remembered is believed."""


@dataclass(slots=True)
class Entry:
    """What a key was found to be, until when; ``record`` is ``None`` for one that is not live."""

    key_id: str
    record: LiveRecord | None
    deadline: float


class KeyCache:
    """Bounded; entries leave oldest first. Times are seconds of the monotonic clock.

    A reader that fills it takes a ``ticket`` before it reads the table; the entry is refused when the key was buried
    (revoked, narrowed) or everything was forgotten after that, since the row may be older than the news.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        heard_on: Callable[[], float],
        *,
        live_entries: int = 50_000,
        unknown_entries: int = 10_000,
    ) -> None:
        """``heard_on`` tells when the tail of revocations last completed a read."""
        self._monotonic = monotonic
        self._heard_on = heard_on
        self._live: dict[bytes, Entry] = {}
        self._unknown: dict[bytes, Entry] = {}
        self._live_entries = live_entries
        self._unknown_entries = unknown_entries
        self._digests: dict[str, set[bytes]] = {}
        self._graves: dict[str, tuple[int, float]] = {}
        self._news = 0
        self._forgotten_at = 0

    def __len__(self) -> int:
        return len(self._live) + len(self._unknown)

    def find(self, digest: bytes) -> Entry | None:
        """The entry of this key if it may be believed now."""
        entry = self._live.get(digest) or self._unknown.get(digest)
        if entry is None:
            return None
        now = self._monotonic()
        if now >= entry.deadline or now - self._heard_on() >= DEAF_SECONDS:
            return None
        return entry

    def ticket(self) -> int:
        """To be taken before the table is read."""
        return self._news

    def store(
        self, digest: bytes, key_id: str, record: LiveRecord | None, ticket: int, seconds: float
    ) -> bool:
        """Remembers what was read; ``False`` where news arrived meanwhile: the reader must read again.

        ``seconds`` is the time to the key's expiry or anything longer.
        """
        if ticket < self._forgotten_at or ticket < self._graves.get(key_id, (0, 0.0))[0]:
            return False
        now = self._monotonic()
        self._drop(digest)
        if record is None:
            entries, room, life = self._unknown, self._unknown_entries, UNKNOWN_SECONDS
        else:
            entries, room, life = self._live, self._live_entries, min(LIVE_SECONDS, seconds)
        while entries and (len(entries) >= room or next(iter(entries.values())).deadline <= now):
            self._drop(next(iter(entries)))
        entries[digest] = Entry(key_id, record, now + life)
        self._digests.setdefault(key_id, set()).add(digest)
        return True

    def bury(self, key_ids: Iterable[str]) -> int:
        """Forgets keys that are worth less now and refuses what was read of them before; how many were known."""
        now = self._monotonic()
        self._news += 1
        known = 0
        for key_id in key_ids:
            self._graves.pop(key_id, None)
            self._graves[key_id] = (self._news, now + GRAVE_SECONDS)
            for digest in tuple(self._digests.get(key_id, ())):
                known += 1
                self._drop(digest)
        self._clear_graves(now)
        return known

    def forget_all(self) -> None:
        """Empties the memory: news may have been missed."""
        self._news += 1
        self._forgotten_at = self._news
        self._live.clear()
        self._unknown.clear()
        self._digests.clear()

    def _drop(self, digest: bytes) -> None:
        entry = self._live.pop(digest, None) or self._unknown.pop(digest, None)
        if entry is not None:
            digests = self._digests[entry.key_id]
            digests.discard(digest)
            if not digests:
                del self._digests[entry.key_id]

    def _clear_graves(self, now: float) -> None:
        while self._graves:
            key_id = next(iter(self._graves))
            if self._graves[key_id][1] > now:
                break
            del self._graves[key_id]
