"""The composition root of auth_api: everything is made here, started and stopped in this order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from aiohttp import web

from services.auth_api import consumer, routes
from services.auth_api.attempts import AttemptRecorder
from services.auth_api.client_directory import ClientDirectory
from services.auth_api.db.repository import QUERIES, SCHEMA
from services.auth_api.delivery import Deliveries
from services.auth_api.metrics import AuthMetrics
from services.auth_api.passwords import PasswordHasher
from services.auth_api.releases import Releases
from services.auth_api.resources import RESOURCES, Resources
from shared.audit_purge import AuditPurge
from shared.bus import Consumer, Janitor, Supervisor
from shared.bus.outbox import OutboxRelay
from shared.clock import Clock, SystemClock
from shared.database import load_queries
from shared.metrics import Metrics
from shared.permissions import load_permissions
from shared.settings import Settings
from shared.tracing import make_bus, make_database, spans_of, trace_requests
from shared.web.edge import make_application
from shared.web.health import add_health

if TYPE_CHECKING:
    from shared.spans import Spans

SERVICE: Final = "auth_api"
STOP_SECONDS: Final = 20.0
"""How long commands that have begun may take at a stop."""
LAST_WORDS_SECONDS: Final = 5.0
"""How long confirmations and recorded attempts may take to leave at a stop."""


def create_app(settings: Settings, clock: Clock | None = None) -> web.Application:
    """The service; it starts without its stores and waits for them."""
    spans = spans_of(SERVICE)
    resources = make_resources(settings, clock or SystemClock(), spans)
    application = make_application(resources.metrics, surfaces=routes.SURFACES, hot=routes.HOT)
    trace_requests(application, spans)
    application[RESOURCES] = resources
    routes.add_routes(application)
    checks = {"postgres": resources.database.ping, "redis": resources.bus.ping}
    add_health(application, resources.metrics, checks)
    application.cleanup_ctx.append(_running)
    return application


def make_resources(settings: Settings, clock: Clock, spans: Spans | None = None) -> Resources:
    """What the use cases stand on; nothing is opened yet."""
    metrics = Metrics(SERVICE)
    bus = make_bus(settings.redis_url, spans=spans, source=SERVICE, clock=clock, metrics=metrics)
    passwords = PasswordHasher()
    AuthMetrics(metrics).password_jobs.set_function(lambda: passwords.jobs)
    database = make_database(
        settings.auth_api_database_url,
        spans=spans,
        schema=SCHEMA,
        queries=load_queries(QUERIES),
        application_name="latchkey-auth-api",
    )
    return Resources(
        settings=settings,
        clock=clock,
        database=database,
        bus=bus,
        catalogue=load_permissions(settings.permissions_file),
        metrics=metrics,
        passwords=passwords,
        clients=ClientDirectory(database, clock),
        outbox=OutboxRelay(database, bus, SCHEMA),
        deliveries=Deliveries(bus),
        releases=Releases(bus),
        attempts=AttemptRecorder(bus, clock),
    )


async def _running(application: web.Application) -> AsyncIterator[None]:
    resources = application[RESOURCES]
    commands = Consumer(resources.bus, consumer.QUEUE, consumer.handlers(resources))
    answering, background, last_words = Supervisor(), Supervisor(), Supervisor()
    await resources.database.start()
    await resources.bus.start()
    last_words.run("deliveries", resources.deliveries.run)
    last_words.run("attempts", resources.attempts.run)
    background.run("outbox", resources.outbox.run)
    background.run("janitor", Janitor(resources.bus).run)
    background.run(
        "audit purge", AuditPurge(resources.database, "purge_audit", resources.settings.audit_days).run
    )
    answering.run("commands", commands.run)
    yield
    commands.stop()
    await answering.stop(grace=STOP_SECONDS)
    await background.stop()
    await resources.releases.stop()
    resources.deliveries.stop()
    resources.attempts.stop()
    await last_words.stop(grace=LAST_WORDS_SECONDS)
    await resources.bus.stop()
    await resources.database.stop()
    resources.passwords.close()
