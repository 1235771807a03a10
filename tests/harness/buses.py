"""One end of the bus, for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.bus import Bus


@asynccontextmanager
async def started(bus: Bus) -> AsyncIterator[Bus]:
    """A bus that is stopped in the end."""
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()
