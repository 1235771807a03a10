"""Counters and histograms of one event loop: a request is counted without a lock and without a walk over buckets.

They are told by prometheus_client's registry; its own are safe for threads, which costs a request as much as routing it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import inf
from typing import Final, Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

ChildT = TypeVar("ChildT")


class Count:
    """One counted thing."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Nothing yet."""
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Counts."""
        self.value += amount


class Distribution:
    """One measured thing: how many of its values fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds``: the upper ends of the buckets in their order, the last one infinite."""
        self._bounds = bounds
        self.counts = [0] * len(bounds)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Measures."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class _Family(Collector, Generic[ChildT]):
    """The children of one metric name, by the values of its labels."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self._name = name
        self._help = help_text
        self._labels = tuple(labels)
        self._children: dict[tuple[str, ...], ChildT] = {}

    def labels(self, *values: object) -> ChildT:
        """The child with these values; hold on to it where it is needed often."""
        key = tuple(map(str, values))
        child = self._children.get(key)
        if child is None:
            if len(key) != len(self._labels):
                raise ValueError(f"{self._name} has the labels {self._labels}")
            child = self._children[key] = self._new_child()
        return child

    def _new_child(self) -> ChildT:
        raise NotImplementedError


class Counter(_Family[Count]):
    """Counts what happens."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = ()) -> None:
        """``name`` ends in ``_total``. Without labels it is told from the start."""
        super().__init__(name, help_text, labels)
        if not labels:
            self.labels()

    def inc(self, amount: float = 1) -> None:
        """Counts where there are no labels."""
        self.labels().inc(amount)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For the registry."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for key, child in self._children.items():
            family.add_metric(key, child.value)
        yield family

    def _new_child(self) -> Count:
        return Count()


class Histogram(_Family[Distribution]):
    """Measures how long or how much."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> None:
        """``buckets``: their upper ends, in their order. Without labels it is told from the start."""
        self._bounds: Final = (*map(float, buckets), inf)
        super().__init__(name, help_text, labels)
        if not labels:
            self.labels()

    def observe(self, value: float) -> None:
        """Measures where there are no labels."""
        self.labels().observe(value)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For the registry."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        ends = tuple(map(floatToGoString, self._bounds))
        for key, child in self._children.items():
            buckets = list(zip(ends, map(float, accumulate(child.counts)), strict=True))
            family.add_metric(key, buckets, child.total)
        yield family

    def _new_child(self) -> Distribution:
        return Distribution(self._bounds)
