"""Operators' endpoints of every service: ``/livez``, ``/readyz`` and ``/metrics``; not routed from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from aiohttp import web
from prometheus_client import Gauge

from shared.errors import StoreUnavailable
from shared.telemetry.metrics import Metrics
from shared.web.body import json_response

HealthCheck = Callable[[], Awaitable[None]]
"""Returns when the dependency works; raises ``StoreUnavailable`` with the reason when it does not."""

CHECK_SECONDS: Final = 3.0
OK: Final = "ok"
_RETRY: Final = {"Retry-After": "1"}
_NO_SIGNALS: Final[Mapping[str, HealthCheck]] = MappingProxyType({})


class Report(NamedTuple):
    """How a process is, and a word per dependency: ``ok`` or what is wrong."""

    status: Literal["ok", "degraded", "starting", "draining"]
    dependencies: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether traffic is to be sent here."""
        return self.status in ("ok", "degraded")


class Readiness:
    """Whether this process is to get traffic: once it has reached each of its stores, and until it drains.

    A store that goes away later, or a signal that fails, makes it degraded and not unready: what can be answered
    without it is, the rest is 503 with ``Retry-After``, and no outage takes all replicas out of a load balancer.
    """

    def __init__(
        self, stores: Mapping[str, HealthCheck], signals: Mapping[str, HealthCheck], degraded: Gauge
    ) -> None:
        """Both by name; ``degraded`` is labelled by it."""
        self.stores = stores
        self.signals = signals
        self.draining = False
        self._degraded = degraded
        self._unreached = set(stores)

    async def report(self) -> Report:
        """Asks every dependency."""
        checks = {**self.stores, **self.signals}
        answers = await asyncio.gather(*(_outcome(check) for check in checks.values()))
        dependencies = dict(zip(checks, answers, strict=True))
        for name, answer in dependencies.items():
            self._degraded.labels(name).set(answer != OK)
        self._unreached -= {name for name, answer in dependencies.items() if answer == OK}
        if self.draining:
            return Report("draining", dependencies)
        if self._unreached:
            return Report("starting", dependencies)
        all_well = all(answer == OK for answer in dependencies.values())
        return Report("ok" if all_well else "degraded", dependencies)


READINESS = web.AppKey("readiness", Readiness)
METRICS = web.AppKey("metrics", Metrics)
EXPOSITION: web.AppKey[Callable[[], Awaitable[bytes]]] = web.AppKey("exposition")
"""Says what ``/metrics`` answers instead of this process's own metrics: several workers answer as one."""


def add_health(
    application: web.Application,
    metrics: Metrics,
    stores: Mapping[str, HealthCheck],
    signals: Mapping[str, HealthCheck] = _NO_SIGNALS,
) -> None:
    """Adds the three endpoints. ``signals`` are dependencies that a process need not have reached to be ready."""
    degraded = metrics.gauge(
        "degraded", "Whether a dependency fails: 1 where it does, 0 where it is well.", ("dependency",)
    )
    readiness = Readiness(stores, signals, degraded)
    application[READINESS] = readiness
    application[METRICS] = metrics

    async def livez(_request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        report = await readiness.report()
        body = {"status": report.status, "dependencies": report.dependencies}
        return json_response(body, 200, {}) if report.ready else json_response(body, 503, _RETRY)

    async def exposition(_request: web.Request) -> web.Response:
        gather = application.get(EXPOSITION)
        if gather is None:
            await readiness.report()
        body = metrics.exposition() if gather is None else await gather()
        return web.Response(body=body, content_type="text/plain", charset="utf-8")

    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposition)


async def _outcome(check: HealthCheck) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return "no answer in time"
    except StoreUnavailable as error:
        return str(error) or "unavailable"
    return OK
