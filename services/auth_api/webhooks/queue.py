"""What wakes the sender of webhooks in this process."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class DeliveryQueue:
    """The deliveries that wait are rows of PostgreSQL; this tells the sender of the same process that there are new ones.

    Those that other processes make are found by looking once a second.
    """

    def __init__(self) -> None:
        """Nothing new yet."""
        self._wake = asyncio.Event()

    def kick(self) -> None:
        """There is something new, or room for more: do not wait for the next look."""
        self._wake.set()

    async def wait(self, seconds: float) -> None:
        """Returns at the next ``kick`` or after so many seconds; a kick since the last call counts."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()
