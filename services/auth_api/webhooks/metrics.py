"""What the sender of webhooks tells Prometheus: how much waits, what came of its tries, and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asyncpg import Record

MOST_COUNTED: Final = 100_000
"""Deliveries that wait are counted up to this."""
SECONDS: Final = (
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    60.0,
    600.0,
    3_600.0,
    21_600.0,
    86_400.0,
    345_600.0,
)


class WebhookMetrics:
    """The metric families of the sender."""

    def __init__(self, metrics: Metrics) -> None:
        """Adds them to those of the service."""
        self.tries = metrics.counter(
            "webhook_tries_total",
            "Tries by result: delivered, the class of another status, or why there was no answer.",
            ("result",),
        )
        self.seconds = metrics.histogram(
            "webhook_delivery_seconds",
            "From the event (or the author's request to send it again) to the endpoint's first success.",
            buckets=SECONDS,
        )
        self._waiting = metrics.gauge(
            "webhook_waiting", f"Deliveries that wait for a try, counted up to {MOST_COUNTED:,}."
        )
        self._oldest = metrics.gauge("webhook_oldest_seconds", "Age of the oldest delivery that waits.")
        self._overdue = metrics.gauge(
            "webhook_overdue_seconds",
            "For how long the endpoint whose turn is next has been due, slow ones apart: tries that we owe.",
        )
        self._disabled = metrics.gauge(
            "webhook_disabled_endpoints",
            "Clients' addresses that are disabled after 410 or five days of failures.",
        )

    def measure(self, row: Record, now: int) -> None:
        """Takes over a row of ``measure_webhooks``."""

        def age_of(time: int | None) -> float:
            return 0.0 if time is None else max(0, now - time) / 1000

        self._waiting.set(row["counted"])
        self._oldest.set(age_of(row["oldest_on"]))
        self._overdue.set(age_of(row["due_on"]))
        self._disabled.set(row["disabled"])
