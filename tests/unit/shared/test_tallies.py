"""Counters and histograms are told exactly as prometheus_client's own would be."""

from __future__ import annotations

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from shared import tallies

BOUNDS = (0.001, 0.5, 1.0, 10)
VALUES = (0.0, 0.001, 0.0011, 0.5, 0.7, 1, 9.99, 10, 11, 1e9)


def _told(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]  # when the process began is known otherwise


def test_they_are_told_like_the_librarys_own() -> None:
    """Names, labels, buckets and numbers."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    requests = tallies.Counter("requests_total", "Requests.", ("route", "status"))
    gaps = tallies.Counter("gaps_total", "Gaps.")
    seconds = tallies.Histogram("seconds", "Time.", ("route",), buckets=BOUNDS)
    lag = tallies.Histogram("lag_seconds", "Lag.", buckets=BOUNDS)
    for family in (requests, gaps, seconds, lag):
        ours.register(family)
    their_requests = prometheus_client.Counter(
        "requests_total", "Requests.", ("route", "status"), registry=theirs
    )
    their_gaps = prometheus_client.Counter("gaps_total", "Gaps.", registry=theirs)
    their_seconds = prometheus_client.Histogram(
        "seconds", "Time.", ("route",), buckets=BOUNDS, registry=theirs
    )
    their_lag = prometheus_client.Histogram("lag_seconds", "Lag.", buckets=BOUNDS, registry=theirs)
    assert _told(ours) == _told(theirs)
    for count in (requests, their_requests):
        count.labels("/a", 200).inc()
        count.labels("/a", 200).inc(2)
        count.labels('/"b"\n', 404).inc(0.5)
    for gap in (gaps, their_gaps):
        gap.inc()
    for value in VALUES:
        for histogram in (seconds, their_seconds):
            histogram.labels("/a").observe(value)
        for plain in (lag, their_lag):
            plain.observe(value)
    assert _told(ours) == _told(theirs)


def test_a_wrong_number_of_labels_is_refused() -> None:
    """A bug of ours, told where it is made."""
    with pytest.raises(ValueError, match="requests_total"):
        tallies.Counter("requests_total", "Requests.", ("route",)).labels("/a", 200)
