"""What auth_api counts besides requests and the bus."""

from __future__ import annotations

from shared.telemetry.metrics import Metrics


class AuthMetrics:
    """The metric families of one process."""

    def __init__(self, metrics: Metrics) -> None:
        """Registers the families."""
        self.password_jobs = metrics.gauge(
            "password_jobs", "Passwords that are being hashed by argon2id, or wait for it."
        )
