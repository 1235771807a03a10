"""Operators' endpoints of every service: ``/livez``, ``/readyz`` and ``/metrics``; not routed from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from shared.errors import StoreUnavailable
from shared.telemetry.metrics import Metrics
from shared.web.body import json_response

Check = Callable[[], Awaitable[None]]
"""Returns when the dependency works; raises ``StoreUnavailable`` with the reason when it does not."""

CHECK_SECONDS = 3.0


class Readiness:
    """Whether this process wants traffic: its dependencies, and no while it drains."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        """``checks`` by the dependency's name."""
        self.checks = checks
        self.draining = False

    async def report(self) -> tuple[bool, dict[str, str]]:
        """Whether all is well, and a word per dependency: ``ok`` or what is wrong."""
        results = await asyncio.gather(*(_outcome(check) for check in self.checks.values()))
        report = dict(zip(self.checks, results, strict=True))
        if self.draining:
            report["process"] = "draining"
        return all(word == "ok" for word in report.values()), report


READINESS = web.AppKey("readiness", Readiness)
METRICS = web.AppKey("metrics", Metrics)
EXPOSITION: web.AppKey[Callable[[], Awaitable[bytes]]] = web.AppKey("exposition")
"""Says what ``/metrics`` answers instead of this process's own metrics: several workers answer as one."""


def add_health(application: web.Application, metrics: Metrics, checks: Mapping[str, Check]) -> Readiness:
    """Adds the three endpoints; ``draining`` of the returned object turns ``/readyz`` to 503 before a stop."""
    readiness = Readiness(checks)
    application[READINESS] = readiness
    application[METRICS] = metrics

    async def livez(_request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        ready, report = await readiness.report()
        headers = {} if ready else {"Retry-After": "1"}
        body = {"status": "ok" if ready else "unavailable", "dependencies": report}
        return json_response(body, 200 if ready else 503, headers)

    async def exposition(_request: web.Request) -> web.Response:
        gather = application.get(EXPOSITION)
        body = metrics.exposition() if gather is None else await gather()
        return web.Response(body=body, content_type="text/plain", charset="utf-8")

    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposition)
    return readiness


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return "no answer in time"
    except StoreUnavailable as error:
        return str(error) or "unavailable"
    return "ok"
