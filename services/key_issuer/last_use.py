"""When keys were last used and for what: noted in memory on every check, written down in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from services.key_issuer.issuer import Issuer
from services.key_issuer.verification import LiveKey, LiveServiceKey
from shared.errors import StoreUnavailable

WRITE_SECONDS: Final = 30.0
FIRST_USE_SECONDS: Final = 0.5
CHUNK: Final = 500
MOST_NOTES: Final = 50_000

Note = tuple[str, int]
"""A key and when it was used."""


class LastUse:
    """Notes of one process. A key's first use is written within a second."""

    def __init__(self, issuer: Issuer) -> None:
        """Nothing is noted yet."""
        self._issuer = issuer
        self._users: dict[str, int] = {}
        self._services: dict[str, int] = {}
        self._asked: dict[str, set[str]] = {}
        self._first: set[str] = set()
        self._hurry = asyncio.Event()

    def note(self, key: LiveKey, now: int, wanted: frozenset[str]) -> None:
        """A check of this key was answered yes at ``now``, for the permissions ``wanted``."""
        self._users[key.key_id] = now
        if not wanted <= key.asked_for:
            key.asked_for |= wanted
            self._asked.setdefault(key.key_id, set()).update(wanted)
        if not key.used:
            key.used = True
            self._first.add(key.key_id)
            self._hurry.set()
        if len(self._users) > MOST_NOTES:
            self._hurry.set()

    def note_service(self, key: LiveServiceKey, now: int) -> None:
        """A resource server used its key at ``now``."""
        self._services[key.key_id] = now

    async def run(self) -> None:
        """Writes all notes every 30 s and first uses at once, until cancelled; an outage only delays them."""
        clock = self._issuer.clock
        due = clock.monotonic() + WRITE_SECONDS
        while True:
            try:
                async with asyncio.timeout(due - clock.monotonic()):
                    await self._hurry.wait()
                await asyncio.sleep(FIRST_USE_SECONDS)
            except TimeoutError:
                pass
            self._hurry.clear()
            try:
                if clock.monotonic() >= due or len(self._users) > MOST_NOTES:
                    due = clock.monotonic() + WRITE_SECONDS
                    await self.write()
                else:
                    await self.write_first_uses()
            except StoreUnavailable as error:
                await asyncio.sleep(error.retry_after)
                self._hurry.set()

    async def write(self) -> None:
        """Writes everything noted so far; what could not be written stays noted."""
        await self.write_first_uses()
        for chunk in _chunks(list(self._users.items())):
            await self._write_users(chunk)
        for chunk in _chunks(list(self._services.items())):
            rows = await self._issuer.database.fetch("note_service_uses", *_columns(chunk))
            _forget(self._services, chunk, {row["key_id"] for row in rows})

    async def write_first_uses(self) -> None:
        """Writes the first use of keys."""
        notes = [(key_id, self._users[key_id]) for key_id in self._first if key_id in self._users]
        for chunk in _chunks(notes):
            await self._write_users(chunk)
            self._first.difference_update(key_id for key_id, _ in chunk)

    async def _write_users(self, chunk: Sequence[Note]) -> None:
        """Keys whose rows another transaction holds just now stay noted for the next time."""
        asked = {key_id: frozenset(self._asked.get(key_id, ())) for key_id, _ in chunk}
        names = [" ".join(sorted(asked[key_id])) for key_id, _ in chunk]
        rows = await self._issuer.database.fetch("note_uses", *_columns(chunk), names)
        written = {row["key_id"] for row in rows}
        _forget(self._users, chunk, written)
        for key_id in written & self._asked.keys():
            self._asked[key_id] -= asked[key_id]
            if not self._asked[key_id]:
                del self._asked[key_id]


def _chunks(notes: Sequence[Note]) -> Iterator[Sequence[Note]]:
    return (notes[start : start + CHUNK] for start in range(0, len(notes), CHUNK))


def _columns(notes: Sequence[Note]) -> tuple[list[str], list[int]]:
    return [key_id for key_id, _ in notes], [used_on for _, used_on in notes]


def _forget(notes: dict[str, int], chunk: Sequence[Note], written: set[str]) -> None:
    """Drops notes that are written, unless the key was used again meanwhile."""
    for key_id, used_on in chunk:
        if key_id in written and notes.get(key_id) == used_on:
            del notes[key_id]
