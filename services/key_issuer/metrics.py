"""What the issuer counts besides requests and the bus."""

from __future__ import annotations

from shared.telemetry.metrics import Metrics

_REVOCATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class IssuerMetrics:
    """The metric families of one process."""

    def __init__(self, metrics: Metrics) -> None:
        """Registers the families."""
        self.revocation_seconds = metrics.histogram(
            "revocation_seconds",
            "From the commit that revoked or narrowed keys to their refusal by this verifier.",
            buckets=_REVOCATION_BUCKETS,
        )
        self.cache_entries = metrics.gauge("key_cache_entries", "Keys that this verifier remembers.")
        self.cache_misses = metrics.counter("key_cache_misses_total", "Checks that had to read the table.")
        self.gaps = metrics.counter("revocation_gaps_total", "Times that this verifier forgot everything.")
