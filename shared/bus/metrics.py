"""What the bus counts."""

from __future__ import annotations

from shared.metrics import Metrics


class BusMetrics:
    """The metric families of one process's bus."""

    def __init__(self, metrics: Metrics) -> None:
        """Registers the families."""
        self.handled = metrics.counter(
            "bus_handled_total", "Messages by type and outcome.", ("type", "outcome")
        )
        self.batch_size = metrics.histogram(
            "bus_batch_size", "Messages handled at once.", ("type",), buckets=(1, 2, 4, 8, 16, 32, 64, 128)
        )
        self.lag = metrics.histogram("bus_lag_seconds", "From sending to the start of handling.", ("type",))
        self.backlog = metrics.gauge("bus_backlog", "Entries of a command stream.", ("queue",))
        self.dead_letters = metrics.gauge("bus_dead_letters", "Dead letters of a queue.", ("queue",))
        self.outbox_lag = metrics.gauge(
            "outbox_lag_seconds", "Age of the oldest event that is not published."
        )
        self.relayed = metrics.counter("outbox_relayed_total", "Events published.", ("type",))
