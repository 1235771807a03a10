"""The composition root of consent_ui: everything is made here, started and stopped in this order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from services.consent_ui.assets import load_assets
from services.consent_ui.csrf import CsrfTokens
from services.consent_ui.error_pages import page_surface
from services.consent_ui.pages import Pages
from services.consent_ui.resources import RESOURCES, Resources
from services.consent_ui.routes import add_routes
from services.consent_ui.security_headers import add_security_headers
from shared.bus import Bus
from shared.clock import Clock, SystemClock
from shared.permissions import load_permissions
from shared.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import tracer_of
from shared.web.edge import make_application
from shared.web.health import add_health

SERVICE: Final = "consent_ui"


def create_app(settings: Settings, clock: Clock | None = None) -> web.Application:
    """The service; it starts without Redis and waits for it."""
    clock = clock or SystemClock()
    metrics = Metrics(SERVICE)
    tracer = tracer_of(SERVICE)
    assets = load_assets()
    csrf = CsrfTokens(settings.secrets)
    resources = Resources(
        settings=settings,
        clock=clock,
        bus=Bus(settings.redis_url, tracer=tracer, source=SERVICE, clock=clock, metrics=metrics),
        catalogue=load_permissions(settings.permissions_file),
        pages=Pages(settings, assets, csrf),
        csrf=csrf,
    )
    application = make_application(metrics, default_surface=page_surface(resources.pages), tracer=tracer)
    application[RESOURCES] = resources
    add_routes(application, assets)
    add_health(application, metrics, {"redis": resources.bus.ping})
    application.on_response_prepare.append(add_security_headers)
    application.cleanup_ctx.append(_running)
    return application


async def _running(application: web.Application) -> AsyncIterator[None]:
    bus = application[RESOURCES].bus
    await bus.start()
    yield
    await bus.stop()
