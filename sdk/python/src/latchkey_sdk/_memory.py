"""What the guard remembers of keys, for how long, and when it believes that.

The promise is that no key is accepted longer than five seconds after it was revoked, whatever fails. A process of
Latchkey's may itself be three seconds late in hearing of a revocation. So an answer is used for two seconds from the
moment it was *asked* for, and longer only while the stream of revocations speaks: an event within three seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from latchkey_sdk._clock import Clock
from latchkey_sdk._key import Key

KEPT_SECONDS: Final = 60.0
"""How long an answer is used while the stream is alive."""
UNHEARD_SECONDS: Final = 2.0
"""How long an answer is used without the stream."""
ALIVE_SECONDS: Final = 3.0
"""The stream is alive for so long after what it said last."""
SERVER_LATE_SECONDS: Final = 3.0
"""By how much the process that answers may know less than the process that streams."""
MOST_ENTRIES: Final = 10_000
_MOST_FORGOTTEN: Final = 20_000
_FORGOTTEN_SECONDS: Final = 3 * SERVER_LATE_SECONDS
_NEVER: Final = float("-inf")


class Learnt(Enum):
    """What became of an answer."""

    USABLE = auto()
    """It is true; it was kept if it may be."""
    OUTDATED = auto()
    """The key was revoked or changed, or everything was forgotten, since the question was sent: ask again."""
    LATE = auto()
    """It took so long that nothing follows from it any more."""


@dataclass(slots=True)
class _Entry:
    key: Key
    used_until: float
    """Without the stream."""
    kept_until: float
    """While the stream is alive."""


class KeyMemory:
    """Live keys by the SHA-256 of the key; never the key itself, and never a refusal. The least recently used go first.

    All times are seconds of ``clock``. ``recall`` may be called in any thread, everything else in the event loop's.
    """

    def __init__(self, clock: Clock, most_entries: int = MOST_ENTRIES) -> None:
        """Nothing is remembered, and the stream has said nothing yet."""
        self._clock = clock
        self._most_entries = most_entries
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._digests: dict[str, bytes] = {}
        self._forgotten: dict[str, float] = {}
        """When keys were invalidated of late, oldest first."""
        self._all_forgotten_at = _NEVER
        self._heard_at = _NEVER

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def alive(self) -> bool:
        """Whether the stream has said within three seconds that nothing was missed."""
        return self._clock() - self._heard_at < ALIVE_SECONDS

    def recall(self, digest: bytes) -> Key | None:
        """The key with this digest, if what is known of it may be believed now."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        now = self._clock()
        if now >= entry.used_until and (now >= entry.kept_until or now - self._heard_at >= ALIVE_SECONDS):
            return None
        try:
            self._entries.move_to_end(digest)
        except KeyError:  # forgotten by the event loop while another thread reads
            return None
        return entry.key

    def learn(self, digest: bytes, key: Key, asked_at: float, seconds: float) -> Learnt:
        """Takes in that a key was live.

        Args:
            digest: the SHA-256 of the key.
            key: what Latchkey said of it.
            asked_at: when the question was sent; what is true of the answer was true then or later.
            seconds: how long the key is good from then on, by its own expiry.
        """
        forgotten_at = self._forgotten.get(key.key_id, _NEVER)
        if max(forgotten_at, self._all_forgotten_at) >= asked_at:
            return Learnt.OUTDATED
        settled = asked_at - self._all_forgotten_at >= SERVER_LATE_SECONDS
        used_until = asked_at + min(UNHEARD_SECONDS, seconds)
        now = self._clock()
        if now - asked_at >= UNHEARD_SECONDS and not (settled and now - self._heard_at < ALIVE_SECONDS):
            return Learnt.LATE
        # The process that answered may not know yet what this one has just heard.
        if asked_at - forgotten_at >= SERVER_LATE_SECONDS:
            self._drop(digest)
            while len(self._entries) >= self._most_entries:
                # In one step: another thread may move an entry meanwhile.
                _, oldest = self._entries.popitem(last=False)
                self._digests.pop(oldest.key.key_id, None)
            kept_until = asked_at + min(KEPT_SECONDS, seconds) if settled else used_until
            self._entries[digest] = _Entry(key, used_until, kept_until)
            self._digests[key.key_id] = digest
        return Learnt.USABLE

    def hear(self, produced_at: float) -> None:
        """The stream spoke: everything that happened before ``produced_at`` has been heard."""
        self._heard_at = max(self._heard_at, produced_at)

    def go_deaf(self) -> None:
        """The stream is lost for certain: believe nothing because of it."""
        self._heard_at = _NEVER

    def forget(self, key_ids: Iterable[str]) -> None:
        """Keys were revoked or changed."""
        now = self._clock()
        for key_id in key_ids:
            self._forgotten.pop(key_id, None)
            self._forgotten[key_id] = now
            digest = self._digests.get(key_id)
            if digest is not None:
                self._drop(digest)
        while self._forgotten:
            oldest = next(iter(self._forgotten))
            if now - self._forgotten[oldest] < _FORGOTTEN_SECONDS:
                break
            del self._forgotten[oldest]
        if len(self._forgotten) > _MOST_FORGOTTEN:
            self.forget_all()

    def forget_all(self) -> None:
        """Something may have been missed: nothing from before now is believed."""
        self._entries.clear()
        self._digests.clear()
        self._forgotten.clear()
        self._all_forgotten_at = self._clock()

    def _drop(self, digest: bytes) -> None:
        entry = self._entries.pop(digest, None)
        if entry is not None:
            self._digests.pop(entry.key.key_id, None)
