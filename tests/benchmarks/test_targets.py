"""The targets of the main flow at 64 connections, on a quiet machine with two cores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.benchmarks.__main__ import report
from tests.benchmarks.measure import Effort, measure
from tests.benchmarks.population import make_population
from tests.benchmarks.rig import Rig, running_rig
from tests.harness.processes import SERVICES

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Everything that is measured, running."""
    with running_rig() as running:
        yield running


def test_rates_and_memory_reach_their_targets(rig: Rig) -> None:
    """An exchange runs at 0.20 and a check at 0.6 of a bare handler at least, in less than 120 MB a service."""
    population = make_population(rig, people=40, clients=40)
    rows = measure(population, ("exchange", "verify"), (64,), Effort(rounds=5, seconds=2, codes=3000))
    report(rows, rig)
    ratios = {row.case: row.ratio for row in rows}
    assert ratios["exchange"] >= 0.20
    assert ratios["verify"] >= 0.6
    assert {name: rig.memory_mb(name) for name in SERVICES if rig.memory_mb(name) >= 120} == {}
