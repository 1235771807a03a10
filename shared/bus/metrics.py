"""What the bus counts; label children are kept, since looking them up costs more than counting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shared.metrics import Metrics

LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class BusMetrics:
    """The metric families of one process's bus."""

    def __init__(self, metrics: Metrics) -> None:
        """Registers the families."""
        self._requests = metrics.counter(
            "bus_requests_total", "Requests sent, by type of command and outcome.", ("type", "outcome")
        )
        self._request_seconds = metrics.histogram(
            "bus_request_seconds", "From sending a command to its reply.", ("type",)
        )
        self._handled = metrics.counter(
            "bus_handled_total", "Messages by type and what became of them.", ("type", "outcome")
        )
        self._batch_size = metrics.histogram(
            "bus_batch_size", "Messages handled at once.", ("type",), buckets=BATCH_BUCKETS
        )
        self._lag = metrics.histogram(
            "bus_lag_seconds", "From sending to the start of handling.", ("type",), buckets=LAG_BUCKETS
        )
        self.backlog = metrics.gauge("bus_backlog", "Entries of a command stream.", ("queue",))
        self.dead_letters = metrics.gauge("bus_dead_letters", "Dead letters of a queue.", ("queue",))
        self.outbox_lag = metrics.gauge(
            "outbox_lag_seconds", "Age of the oldest event that is not published."
        )
        self._relayed = metrics.counter("outbox_relayed_total", "Events published.", ("type",))
        self._counters: dict[tuple[str, str, str], Callable[[float], None]] = {}
        self._timers: dict[tuple[str, str], Callable[[float], None]] = {}

    def requested(self, command_type: str, outcome: str, seconds: float) -> None:
        """A request has ended: ``replied``, ``failed``, ``deadline``, ``overload``, ``down``, ``unavailable``."""
        key = ("request", command_type, outcome)
        count = self._counters.get(key)
        if count is None:
            count = self._counters[key] = self._requests.labels(command_type, outcome).inc
        count(1)
        if outcome == "replied":
            observe = self._timers.get(("request", command_type))
            if observe is None:
                child = self._request_seconds.labels(command_type)
                observe = self._timers["request", command_type] = child.observe
            observe(seconds)

    def started(self, message_type: str, entries: int, lag_seconds: float) -> None:
        """A handler begins; ``lag_seconds`` is that of its oldest message."""
        lag = self._timers.get(("lag", message_type))
        if lag is None:
            lag = self._timers["lag", message_type] = self._lag.labels(message_type).observe
        lag(max(0.0, lag_seconds))
        size = self._timers.get(("size", message_type))
        if size is None:
            size = self._timers["size", message_type] = self._batch_size.labels(message_type).observe
        size(entries)

    def handled(self, message_type: str, outcome: str, entries: int = 1) -> None:
        """Messages were done (``ok``), ``delayed``, ``deadline_exceeded``, ``unavailable``, ``failed``."""
        key = ("handled", message_type, outcome)
        count = self._counters.get(key)
        if count is None:
            count = self._counters[key] = self._handled.labels(message_type, outcome).inc
        count(entries)

    def relayed(self, message_type: str) -> None:
        """An outbox row has left."""
        key = ("relayed", message_type, "")
        count = self._counters.get(key)
        if count is None:
            count = self._counters[key] = self._relayed.labels(message_type).inc
        count(1)
