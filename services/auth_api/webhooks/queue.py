"""What wakes the sender of webhooks in this process, and counts what is not sent."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from shared.telemetry.metrics import Metrics


class DeliveryQueue:
    """The deliveries that wait are rows of PostgreSQL; this tells the sender of the same process that there are new ones.

    Those that other processes make are found by looking once a second.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Nothing new yet."""
        self._wake = asyncio.Event()
        self._ended = metrics.counter(
            "webhook_deliveries_total", "Deliveries that are over, by what became of them.", ("outcome",)
        )
        for outcome in ("delivered", "failed", "dropped"):
            self._ended.labels(outcome)

    def kick(self) -> None:
        """There is something new, or room for more: do not wait for the next look."""
        self._wake.set()

    def count_ended(self, outcome: str, deliveries: int = 1) -> None:
        """Counts deliveries that are over: ``delivered``, ``failed`` or ``dropped``."""
        self._ended.labels(outcome).inc(deliveries)

    def count_dropped(self, status: str) -> None:
        """Counts those that a statement has dropped, by the server's status line, like ``UPDATE 3``."""
        self.count_ended("dropped", int(status.rpartition(" ")[2]))

    async def wait(self, seconds: float) -> None:
        """Returns at the next ``kick`` or after so many seconds; a kick since the last call counts."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()
