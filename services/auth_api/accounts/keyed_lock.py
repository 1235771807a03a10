"""One at a time for each key: so that a limit looked at before some work still holds when the work begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from shared.errors import StoreUnavailable

MOST_WAITING: Final = 48
"""For one key; later callers are refused."""


class KeyedLock:
    """A lock for each key, of this process; a key that is not in use costs nothing."""

    def __init__(self) -> None:
        """No key is in use."""
        self._queues: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def acquire(self, key: str) -> AsyncIterator[None]:
        """Waits for the lock of this key and holds it.

        Raises:
            StoreUnavailable: too many wait for it already.
        """
        lock, waiting = self._queues.get(key) or (asyncio.Lock(), 0)
        if waiting >= MOST_WAITING:
            raise StoreUnavailable("passwords", "too many wait for one account")
        self._queues[key] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            _, left = self._queues[key]
            if left == 1:
                del self._queues[key]
            else:
                self._queues[key] = lock, left - 1
