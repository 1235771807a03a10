"""What wakes the sender of webhooks in this process, and counts what is not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress

from shared.telemetry.metrics import Metrics


class DeliveryQueue:
    """The deliveries that wait are rows of PostgreSQL; this tells the sender of the same process that there are new ones.

    Those that other processes make are found by looking once a second.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Nothing new yet."""
        self._wake = asyncio.Event()
        self.grown: set[str] = set()
        """Clients with deliveries that are over since their old ones were last trimmed."""
        self._ended = metrics.counter(
            "webhook_deliveries_total", "Deliveries that are over, by what became of them.", ("outcome",)
        )
        for outcome in ("delivered", "failed", "dropped"):
            self._ended.labels(outcome)

    def kick(self) -> None:
        """There is something new, or room for more: do not wait for the next look."""
        self._wake.set()

    def count_ended(self, outcome: str, client_ids: Collection[str]) -> None:
        """Counts deliveries that are over (``delivered``, ``failed`` or ``dropped``), by the client of each."""
        self._ended.labels(outcome).inc(len(client_ids))
        self.grown.update(client_ids)

    async def wait(self, seconds: float) -> None:
        """Returns at the next ``kick`` or after so many seconds; a kick since the last call counts."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()
