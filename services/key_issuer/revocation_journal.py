"""What was heard last of the revocations, each entry with the place under which a listener comes back to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Final, Self

import orjson

from shared.bus import BroadcastEntry
from shared.contracts.events import KeysInvalidated

MOST_ENTRIES: Final = 4_000
"""More than the broadcast holds of heartbeats: ten minutes of them, and the rest for what was taken back."""
MOST_KEYS: Final = 10_000
"""In all entries together: whoever missed more forgets everything, which is less to send."""
KEYS_OF_AN_EVENT: Final = 1_000
_PLACE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Heard:
    """One entry of the broadcast: its place, and the keys that it takes back (none for a heartbeat)."""

    place: str
    key_ids: tuple[str, ...]

    @classmethod
    def of(cls, entry: BroadcastEntry[KeysInvalidated]) -> Self:
        """The same in every process.

        The place names what the entry says beside where it stands: an id that a Redis gives once more, after it lost its
        newest entries, is another place.
        """
        digest = blake2b(entry.id + b" " + entry.event.to_wire(), digest_size=_PLACE_BYTES)
        return cls(digest.hexdigest(), entry.event.key_ids)


class RevocationJournal:
    """The newest entries, oldest first and without a hole. Each has a number, which counts up in this process alone."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self._entries: deque[Heard] = deque()
        self._numbers: dict[str, int] = {}
        self._keys = 0
        self.end = 0
        """The number of the entry that comes next."""

    @property
    def begin(self) -> int:
        """The number of the oldest entry that is kept."""
        return self.end - len(self._entries)

    def append(self, heard: Heard) -> None:
        """Takes the next entry in, and lets go of what is too old."""
        self._entries.append(heard)
        self._numbers[heard.place] = self.end
        self._keys += len(heard.key_ids)
        self.end += 1
        while len(self._entries) > MOST_ENTRIES or (self._keys > MOST_KEYS and len(self._entries) > 1):
            self._forget_oldest()

    def follow(self, past: Sequence[Heard]) -> bool:
        """Takes over what the broadcast holds, after a time in which entries may have been missed.

        ``True``: the last entry that was heard is among it, and what followed is here now. Otherwise everything from
        before is forgotten, since nobody knows what came after it.
        """
        last = self._entries[-1].place if self._entries else None
        missed = next((at for at, heard in enumerate(past, start=1) if heard.place == last), None)
        if missed is None:
            while self._entries:
                self._forget_oldest()
        for heard in islice(past, missed or 0, None):
            self.append(heard)
        return missed is not None

    def after(self, place: str | None) -> int | None:
        """The number of the entry that follows this place; ``None`` for one that is unknown or too old."""
        number = None if place is None else self._numbers.get(place)
        return None if number is None else number + 1

    def events_since(self, number: int) -> bytes:
        """The events from this entry's number on, as ``text/event-stream``; it must not be older than ``begin``.

        Keys of several entries go into one event. It carries the place of the last entry that it tells completely, so
        that one who is cut off after it misses nothing.
        """
        return b"".join(_events(islice(self._entries, number - self.begin, None), self._place_before(number)))

    def reset(self) -> bytes:
        """The event that says to forget everything; at least one entry was heard."""
        return _event(b"reset", self._entries[-1].place, _NOTHING)

    def _place_before(self, number: int) -> str | None:
        return self._entries[number - 1 - self.begin].place if number > self.begin else None

    def _forget_oldest(self) -> None:
        oldest = self._entries.popleft()
        self._keys -= len(oldest.key_ids)
        self._numbers.pop(oldest.place, None)


_NOTHING: Final = b"{}"


def _events(entries: Iterable[Heard], place: str | None) -> Iterator[bytes]:
    """``place``: that of the entry before them."""
    keys: list[str] = []
    for heard in entries:
        if keys and len(keys) + len(heard.key_ids) > KEYS_OF_AN_EVENT:
            yield _invalidate(keys, place)
            keys = []
        keys += heard.key_ids
        while len(keys) > KEYS_OF_AN_EVENT:  # of one entry alone: its place is told with the last of its keys
            yield _invalidate(keys[:KEYS_OF_AN_EVENT], place)
            keys = keys[KEYS_OF_AN_EVENT:]
        place = heard.place
    if keys:
        yield _invalidate(keys, place)
    elif place is not None:
        yield _event(b"heartbeat", place, _NOTHING)


def _invalidate(keys: Sequence[str], place: str | None) -> bytes:
    return _event(b"invalidate", place, orjson.dumps({"keyIDs": keys}))


def _event(name: bytes, place: str | None, data: bytes) -> bytes:
    """WHATWG HTML §9.2.5; without an id where there is no place yet."""
    known = b"" if place is None else b"id: %b\n" % place.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (known, name, data)
