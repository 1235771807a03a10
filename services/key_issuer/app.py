"""The composition root of key_issuer: what it is made of, what is started in which order, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import structlog
from aiohttp import web

from services.key_issuer import routes
from services.key_issuer.consumer import make_consumers, make_event_consumer
from services.key_issuer.expiry import run_expiries
from services.key_issuer.issuance import warm_up
from services.key_issuer.last_use import LastUse
from services.key_issuer.listener_keys import watch_service_keys
from services.key_issuer.resources import RESOURCES, SERVICE, make_resources
from shared.bus import Janitor, Supervisor
from shared.clock import Clock, SystemClock
from shared.errors import StoreUnavailable
from shared.purge import Purge
from shared.settings import Settings
from shared.telemetry.tracing import tracer_of
from shared.web.edge import make_application
from shared.web.health import add_health

STOP_SECONDS: Final = 20.0
"""How long commands that have begun may take at a stop."""
LAST_WORDS_SECONDS: Final = 5.0
"""How long the last uses may take to be written at a stop."""

__all__ = ["SERVICE", "create_app"]

_log = structlog.get_logger(__name__)


def create_app(settings: Settings, clock: Clock | None = None) -> web.Application:
    """The service; it starts without its stores and waits for them."""
    tracer = tracer_of(SERVICE)
    resources = make_resources(settings, clock or SystemClock(), tracer)
    application = make_application(
        resources.metrics,
        error_renderers=routes.ERROR_RENDERERS,
        hot=routes.HOT,
        streams=routes.STREAMS,
        tracer=tracer,
    )
    application[RESOURCES] = resources
    routes.add_routes(application)
    add_health(
        application,
        resources.metrics,
        {"postgres": resources.issuer.database.ping, "redis": resources.bus.ping},
        {"revocations": resources.revocations.check, **resources.bus.signals()},
    )
    application.cleanup_ctx.append(_running)
    return application


async def _running(application: web.Application) -> AsyncIterator[None]:
    resources = application[RESOURCES]
    bus, issuer = resources.bus, resources.issuer
    consumers = (*make_consumers(bus, issuer), make_event_consumer(bus, issuer))
    answering, background = Supervisor(), Supervisor()
    await warm_up(issuer)
    await bus.start()
    background.run("revocation tail", resources.revocations.run)
    background.run("listeners", resources.listeners.watch)
    background.run(
        "service keys of listeners", partial(watch_service_keys, resources.listeners, resources.verifier)
    )
    background.run("outbox relay", resources.outbox.run)
    background.run("last use", resources.last_use.run)
    background.run("expiries", partial(run_expiries, issuer))
    background.run("janitor", Janitor(bus, SERVICE).run)
    background.run("purge", Purge(issuer.database, _kept_days(resources.settings)).run)
    for consumer in consumers:
        answering.run(consumer.keys.stream, consumer.run)
    yield
    for consumer in consumers:
        consumer.stop()
    await answering.stop(grace=STOP_SECONDS)
    await background.stop()
    await _write_last_uses(resources.last_use)
    await resources.fetcher.close()
    await bus.stop()
    await issuer.database.stop()


def _kept_days(settings: Settings) -> dict[str, int]:
    return {
        "purge_audit": settings.audit_days,
        "purge_ended_keys": settings.ended_key_days,
        "purge_replayed_codes": 1,
        "purge_abandoned_keys": 1,
    }


async def _write_last_uses(last_use: LastUse) -> None:
    try:
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            await last_use.write()
    except (StoreUnavailable, TimeoutError) as error:
        _log.warning("last_uses_lost", reason=str(error) or "no answer in time")
