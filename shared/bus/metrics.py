"""What the bus counts; the children of labels are kept, since looking them up costs more than counting."""

from __future__ import annotations

from functools import cache
from typing import Final

from shared.telemetry.metrics import Metrics

LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class BusMetrics:
    """The metric families of one process's bus; those that are called by ``type`` (and ``outcome``) give a child.

    Outcomes of a request: ``replied``, ``failed``, ``deadline``, ``overload``, ``down``, ``unavailable``; of handling:
    ``ok``, ``delayed``, ``deadline_exceeded``, ``unavailable``, ``failed``.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Registers the families."""
        self.requests = cache(
            metrics.counter(
                "bus_requests_total", "Requests sent, by type of command and outcome.", ("type", "outcome")
            ).labels
        )
        self.request_seconds = cache(
            metrics.histogram("bus_request_seconds", "From sending a command to its reply.", ("type",)).labels
        )
        self.handled = cache(
            metrics.counter(
                "bus_handled_total", "Messages by type and what became of them.", ("type", "outcome")
            ).labels
        )
        self.batch_size = cache(
            metrics.histogram(
                "bus_batch_size", "Messages handled at once.", ("type",), buckets=BATCH_BUCKETS
            ).labels
        )
        self.lag = cache(
            metrics.histogram(
                "bus_lag_seconds", "From sending to the start of handling.", ("type",), buckets=LAG_BUCKETS
            ).labels
        )
        self.redis_memory = metrics.gauge(
            "redis_used_memory_ratio", "Share of Redis's maxmemory that is used; 0 where there is no limit."
        )
        self.backlog = metrics.gauge("bus_backlog", "Entries of a command stream.", ("queue",))
        self.dead_letters = metrics.gauge("bus_dead_letters", "Dead letters of a queue.", ("queue",))
        self.outbox_lag = metrics.gauge(
            "outbox_lag_seconds", "Age of the oldest event that is not published."
        )
        self.relayed = cache(metrics.counter("outbox_relayed_total", "Events published.", ("type",)).labels)
