"""The measurements: each case and the bare handler in turns; medians of the rounds, and of their ratios."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Final

from services.key_issuer.verification import STALE_AFTER_SECONDS
from tests.benchmarks.population import (
    Population,
    bare_request,
    introspect_request,
    service_key,
    verify_request,
)
from tests.benchmarks.rig import Rig, Shot

CASES: Final = (
    "exchange",
    "exchange-one-pair",
    "floor",
    "verify",
    "introspect",
    "verify-distinct",
    "verify-deaf",
)
KEYS: Final = 100
DISTINCT_KEYS: Final = 4000
WARM_UP_CODES: Final = 50
WARM_UP_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done for each number."""

    rounds: int = 3
    seconds: float = 3.0
    """For the cases that can go in a circle."""
    codes: int = 2000
    """For an exchange at more than one connection; a quarter of it at one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case at one number of connections: medians over the rounds."""

    case: str
    connections: int
    per_second: float
    bare_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: Mapping[str, float]
    """What each part spent on one request."""
    bare_cpu_us: float
    ratio: float
    """Ours in relation to the bare handler just before and after: a machine's speed may double within seconds."""


Shooter = Callable[[int], Shot]
"""Loads one case at a number of connections."""


def measure(
    population: Population, cases: Sequence[str], connections: Sequence[int], effort: Effort
) -> list[Row]:
    """Measures the cases at each number of connections."""
    rig = population.rig
    rig.load("auth-api", population.token_requests(WARM_UP_CODES), 4)
    rig.load("bare", [bare_request()], 4, WARM_UP_SECONDS)
    rows = []
    for case in cases:
        shoot = _shooter(population, case, effort)
        rows += [_row(population, case, shoot, count, effort) for count in connections]
    return rows


def _row(population: Population, case: str, shoot: Shooter, connections: int, effort: Effort) -> Row:
    def shoot_bare() -> Shot:
        return population.rig.load("bare", [bare_request()], connections, effort.seconds)

    ours, bare = [], [shoot_bare()]
    for _ in range(effort.rounds):
        ours.append(shoot(connections))
        bare.append(shoot_bare())
    for shot in (*ours, *bare):
        if set(shot.result.statuses) != {"200"}:
            raise AssertionError(f"{case} at {connections}: not all answers were 200: {shot.result.statuses}")
    return Row(
        case=case,
        connections=connections,
        per_second=median(shot.result.per_second for shot in ours),
        bare_per_second=median(shot.result.per_second for shot in bare),
        p50_ms=median(shot.result.p50_ms for shot in ours),
        p99_ms=median(shot.result.p99_ms for shot in ours),
        cpu_us={
            name: median(shot.cpu_us[name] for shot in ours) for name in ours[0].cpu_us if name != "bare"
        },
        bare_cpu_us=median(shot.cpu_us["bare"] for shot in bare),
        ratio=median(
            shot.result.per_second / fmean((before.result.per_second, after.result.per_second))
            for shot, (before, after) in zip(ours, pairwise(bare), strict=True)
        ),
    )


def _shooter(population: Population, case: str, effort: Effort) -> Shooter:
    """How a case is loaded. The keys to check are made now: later exchanges of their pairs would end them."""
    if case == "floor":
        return _exchange(population, effort, "floor")
    if case.startswith("exchange"):
        return _exchange(population, effort, "auth-api", one_pair=case == "exchange-one-pair")
    if case == "verify-distinct":
        return lambda connections: _check_each_once(population, connections)
    rig = population.rig
    keys = population.keys(min(KEYS, population.pairs))
    if case.startswith("verify"):
        requests = [verify_request(key) for key in keys]
    else:
        caller = service_key(rig)
        requests = [introspect_request(key, caller) for key in keys]
    rig.load("key-issuer", requests, 4, WARM_UP_SECONDS)
    if case == "verify-deaf":
        return lambda connections: _check_while_deaf(rig, requests, connections, effort.seconds)
    return lambda connections: rig.load("key-issuer", requests, connections, effort.seconds)


def _exchange(population: Population, effort: Effort, server: str, *, one_pair: bool = False) -> Shooter:
    def shoot(connections: int) -> Shot:
        number = effort.codes if connections > 1 else max(effort.codes // 4, 1)
        return population.rig.load(server, population.token_requests(number, one_pair=one_pair), connections)

    return shoot


def _check_each_once(population: Population, connections: int) -> Shot:
    """Checks keys that this verifier has never seen: each is read from the table, and its first use written down."""
    requests = [verify_request(key) for key in population.keys(DISTINCT_KEYS)]
    return population.rig.load("key-issuer", requests, connections)


def _check_while_deaf(rig: Rig, requests: Sequence[bytes], connections: int, seconds: float) -> Shot:
    """Checks while Redis stands still: no revocation is heard, so that nothing remembered is believed."""
    with rig.redis_paused():
        time.sleep(STALE_AFTER_SECONDS)
        return rig.load("key-issuer", requests, connections, seconds)
