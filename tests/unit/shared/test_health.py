"""Readiness is about routing: once every store was reached, and until the process drains."""

from __future__ import annotations

from aiohttp import web

from shared.errors import StoreUnavailable
from shared.telemetry.metrics import Metrics
from shared.web.health import READINESS, Readiness, add_health


class Dependency:
    """Something that works or does not, as the test says."""

    def __init__(self) -> None:
        self.works = False

    async def check(self) -> None:
        """Raises while it does not work."""
        if not self.works:
            raise StoreUnavailable("it", "away")


class Process:
    """A process with two stores and a signal."""

    def __init__(self) -> None:
        self.metrics = Metrics("tests")
        self.postgres, self.redis, self.revocations = Dependency(), Dependency(), Dependency()
        application = web.Application()
        add_health(
            application,
            self.metrics,
            {"postgres": self.postgres.check, "redis": self.redis.check},
            {"revocations": self.revocations.check},
        )
        self.readiness: Readiness = application[READINESS]

    async def status(self) -> tuple[str, bool]:
        """What `/readyz` would say, and whether it would be 200."""
        report = await self.readiness.report()
        return report.status, report.ready


async def test_a_process_starts_until_each_store_was_reached_once() -> None:
    """In whatever order, and not at the same time."""
    process = Process()
    assert await process.status() == ("starting", False)
    process.postgres.works = True
    assert await process.status() == ("starting", False)
    process.postgres.works, process.redis.works = False, True
    assert await process.status() == ("degraded", True)


async def test_a_signal_makes_a_process_degraded_and_never_unready() -> None:
    """A replica that starts while Redis takes no writes hears nothing, and answers checks all the same."""
    process = Process()
    process.postgres.works = process.redis.works = True
    assert await process.status() == ("degraded", True)
    process.revocations.works = True
    assert await process.status() == ("ok", True)


async def test_a_store_that_goes_away_later_makes_it_degraded() -> None:
    """Also all of them: a load balancer keeps every replica, and each says 503 by itself where it must."""
    process = Process()
    for each in (process.postgres, process.redis, process.revocations):
        each.works = True
    assert await process.status() == ("ok", True)
    for each in (process.postgres, process.redis, process.revocations):
        each.works = False
    assert await process.status() == ("degraded", True)
    report = await process.readiness.report()
    assert set(report.dependencies) == {"postgres", "redis", "revocations"}
    assert "ok" not in report.dependencies.values()
    process.redis.works = True
    assert (await process.readiness.report()).dependencies["redis"] == "ok"


async def test_a_process_that_drains_is_not_ready() -> None:
    """Whatever else there is to say."""
    process = Process()
    process.readiness.draining = True
    assert await process.status() == ("draining", False)
    process.postgres.works = process.redis.works = process.revocations.works = True
    assert await process.status() == ("draining", False)


async def test_what_is_missing_is_a_metric() -> None:
    """Alerts name the dependency."""
    process = Process()
    process.redis.works = True
    await process.readiness.report()
    exposition = process.metrics.exposition().decode()
    assert 'latchkey_degraded{dependency="postgres"} 1.0' in exposition
    assert 'latchkey_degraded{dependency="redis"} 0.0' in exposition
