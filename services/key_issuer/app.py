"""The composition root of key_issuer: what is made, what is started in which order, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import structlog
from aiohttp import web

from services.key_issuer import routes
from services.key_issuer.cache import KeyCache
from services.key_issuer.client_access import ClientAccess
from services.key_issuer.consumer import make_consumer, make_event_consumer
from services.key_issuer.db.repository import PLANS, QUERIES, SCHEMA
from services.key_issuer.handlers.introspect import IntrospectHandler
from services.key_issuer.handlers.report_leak import ReportLeakHandler
from services.key_issuer.handlers.status import StatusHandler
from services.key_issuer.handlers.verify import VerifyHandler
from services.key_issuer.issuance import warm_up
from services.key_issuer.issuer import Issuer
from services.key_issuer.last_use import LastUse
from services.key_issuer.metrics import IssuerMetrics
from services.key_issuer.peppers import Peppers
from services.key_issuer.verification import Verifier
from shared.bus import Bus, Janitor, StreamTail, Supervisor
from shared.bus.outbox import OutboxRelay
from shared.clock import Clock, SystemClock
from shared.contracts.base import Event
from shared.contracts.events import KeysNarrowed
from shared.database import Database, load_queries
from shared.errors import StoreUnavailable
from shared.purge import Purge
from shared.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import tracer_of
from shared.web.edge import make_application
from shared.web.health import add_health
from shared.web.surfaces import oauth_surface

SERVICE: Final = "key_issuer"
STOP_SECONDS: Final = 20.0
"""How long commands that have begun may take at a stop."""
LAST_WORDS_SECONDS: Final = 5.0
"""How long the last uses may take to be written at a stop."""

_log = structlog.get_logger(__name__)


def create_app(settings: Settings, *, clock: Clock | None = None) -> web.Application:
    """The service on these settings; nothing is connected before the application starts."""
    return _Composition(settings, clock or SystemClock()).application


class _Composition:
    """Everything of one process, and its start and stop."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._metrics = Metrics(SERVICE)
        self._counts = IssuerMetrics(self._metrics)
        self._clock = clock
        self._tracer = tracer_of(SERVICE)
        self._bus = Bus(
            settings.redis_url, tracer=self._tracer, source=SERVICE, clock=clock, metrics=self._metrics
        )
        self._database = Database(
            settings.key_issuer_database_url,
            tracer=self._tracer,
            schema=SCHEMA,
            queries=load_queries(QUERIES),
            application_name="latchkey-key-issuer",
            parameters=PLANS,
        )
        self._relay = OutboxRelay(self._database, self._bus, SCHEMA)
        self._tail = StreamTail(self._bus, KeysNarrowed.stream, self._heard, self._missed)
        self._cache = KeyCache(clock.monotonic, lambda: self._tail.last_read_on)
        self._counts.cache_entries.set_function(lambda: len(self._cache))
        self._issuer = Issuer(
            self._database, clock, Peppers(settings.key_peppers), self._cache, self._relay.kick
        )
        self._last_use = LastUse(self._issuer)
        self.application = self._make_application()

    def _make_application(self) -> web.Application:
        application = make_application(
            self._metrics,
            surfaces=((routes.INTROSPECT, oauth_surface),),
            hot=frozenset({routes.VERIFY, routes.INTROSPECT}),
            tracer=self._tracer,
        )
        verifier = Verifier(self._issuer, self._last_use, self._counts)
        clients = ClientAccess(self._bus, self._clock)
        handlers = routes.Handlers(
            verify=VerifyHandler(verifier, self._clock).handle,
            status=StatusHandler(verifier, self._clock).handle,
            introspect=IntrospectHandler(verifier, clients, self._settings, self._clock).handle,
            report_leak=ReportLeakHandler(self._issuer).handle,
        )
        routes.add_routes(application.router, handlers)
        add_health(application, self._metrics, {"postgres": self._database.ping, "redis": self._bus.ping})
        application.cleanup_ctx.append(self._run)
        return application

    async def _run(self, _application: web.Application) -> AsyncIterator[None]:
        commands = make_consumer(self._bus, self._issuer)
        events = make_event_consumer(self._bus, self._issuer)
        answering, background = Supervisor(), Supervisor()
        await warm_up(self._issuer)
        await self._bus.start()
        background.run("revocation tail", self._tail.run)
        background.run("outbox relay", self._relay.run)
        background.run("last use", self._last_use.run)
        background.run("janitor", Janitor(self._bus).run)
        background.run("purge", Purge(self._database, self._kept_days()).run)
        answering.run("commands", commands.run)
        answering.run("events", events.run)
        yield
        commands.stop()
        events.stop()
        await answering.stop(grace=STOP_SECONDS)
        await background.stop()
        await self._write_last_uses()
        await self._bus.stop()
        await self._database.stop()

    async def _heard(self, event: Event) -> None:
        """Keys were narrowed somewhere: refuse them from now on."""
        if isinstance(event, KeysNarrowed):
            self._cache.bury(event.key_ids)
            self._counts.revocation_seconds.observe(max(0, self._clock.now() - event.on) / 1000)

    async def _missed(self) -> None:
        """News may have been missed."""
        self._cache.forget_all()
        self._counts.gaps.inc()

    def _kept_days(self) -> dict[str, int]:
        return {
            "purge_audit": self._settings.audit_days,
            "purge_ended_keys": self._settings.ended_key_days,
            "purge_replayed_codes": 1,
            "purge_abandoned_keys": 1,
        }

    async def _write_last_uses(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._last_use.write()
        except (StoreUnavailable, TimeoutError) as error:
            _log.warning("last_uses_lost", reason=str(error) or "no answer in time")
