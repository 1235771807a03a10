"""The composition root of auth_api: what it is made of, what is started in which order, and how it stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from services.auth_api import consumer, routes
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.resources import SERVICE, make_resources
from services.auth_api.sessions.account_sessions import SESSION_DAYS
from services.auth_api.webhooks import signing
from services.auth_api.webhooks.endpoints import LAST_ADDRESS_DAYS
from services.auth_api.webhooks.keys import KEPT_VERSION_DAYS
from services.auth_api.webhooks.sender import DELIVERY_DAYS, WebhookSender
from shared.bus import Janitor, Supervisor
from shared.clock import Clock, SystemClock
from shared.purge import Purge
from shared.settings import Settings
from shared.telemetry.tracing import tracer_of
from shared.web.edge import make_application
from shared.web.guarded_fetcher import GuardedFetcher
from shared.web.health import add_health

STOP_SECONDS: Final = 20.0
"""How long commands that have begun may take at a stop."""
LAST_WORDS_SECONDS: Final = 5.0
"""How long recorded attempts may take to leave at a stop."""


def create_app(settings: Settings, clock: Clock | None = None) -> web.Application:
    """The service; it starts without its stores and waits for them."""
    signing.warm_up()
    tracer = tracer_of(SERVICE)
    resources = make_resources(settings, clock or SystemClock(), tracer)
    application = make_application(
        resources.metrics,
        error_renderers=routes.ERROR_RENDERERS,
        hot=routes.HOT,
        patient=routes.PATIENT,
        tracer=tracer,
    )
    application[RESOURCES] = resources
    routes.add_routes(application)
    checks = {"postgres": resources.database.ping, "redis": resources.bus.ping}
    add_health(application, resources.metrics, checks, resources.bus.signals())
    application.cleanup_ctx.append(_running)
    return application


async def _running(application: web.Application) -> AsyncIterator[None]:
    resources = application[RESOURCES]
    consumers = (*consumer.make_consumers(resources), consumer.make_event_consumer(resources))
    answering, background, last_words = Supervisor(), Supervisor(), Supervisor()
    await resources.database.start()
    await resources.bus.start()
    last_words.run("activity log", resources.activity_log.run)
    background.run("outbox", resources.outbox.run)
    purged_after = {
        "purge_audit": resources.settings.audit_days,
        "purge_session_origins": SESSION_DAYS,
        "purge_webhook_deliveries": DELIVERY_DAYS,
        "purge_webhook_endpoints": LAST_ADDRESS_DAYS,
        "purge_webhook_versions": KEPT_VERSION_DAYS,
    }
    background.run("janitor", Janitor(resources.bus, SERVICE).run)
    background.run("purge", Purge(resources.database, purged_after).run)
    fetcher = GuardedFetcher(resources.settings)
    background.run("webhooks", WebhookSender(resources, fetcher).run)
    for each in consumers:
        answering.run(each.keys.stream, each.run)
    yield
    for each in consumers:
        each.stop()
    await answering.stop(grace=STOP_SECONDS)
    await background.stop()
    await fetcher.close()
    await resources.releaser.stop()
    resources.activity_log.stop()
    await last_words.stop(grace=LAST_WORDS_SECONDS)
    await resources.bus.stop()
    await resources.database.stop()
    resources.passwords.close()
    resources.field_checker.close()
    if resources.oidc is not None:
        await resources.oidc.close()
