"""Prometheus metrics of one service: a registry of its own, and the families that every service has."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The registry of one service and its HTTP families; services add their own families to ``registry``."""

    def __init__(self, service: str) -> None:
        """Makes an empty registry whose families carry no service label: the scrape target names it."""
        self.service = service
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = self.counter(
            "http_requests_total",
            "Requests by route template, method and status.",
            ("route", "method", "status"),
        )
        self.request_seconds = self.histogram(
            "http_request_seconds", "Time to the response by route template.", ("route",)
        )

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        """A counter ``latchkey_<name>``."""
        return Counter(f"latchkey_{name}", help_text, labels, registry=self.registry)

    def gauge(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Gauge:
        """A gauge ``latchkey_<name>``."""
        return Gauge(f"latchkey_{name}", help_text, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        help_text: str,
        labels: tuple[str, ...] = (),
        buckets: tuple[float, ...] = REQUEST_BUCKETS,
    ) -> Histogram:
        """A histogram ``latchkey_<name>`` in seconds unless its name says otherwise."""
        return Histogram(f"latchkey_{name}", help_text, labels, buckets=buckets, registry=self.registry)

    def exposition(self) -> bytes:
        """The text exposition of all families."""
        return generate_latest(self.registry)
