"""The composition root of consent_ui: what it is made of, what is started in which order, and how it stops."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from services.consent_ui.error_pages import page_renderer
from services.consent_ui.pages import add_security_headers
from services.consent_ui.resources import RESOURCES, SERVICE, make_resources
from services.consent_ui.routes import add_routes
from services.consent_ui.session import sign_in_first
from shared.clock import Clock, SystemClock
from shared.settings import Settings
from shared.telemetry.tracing import tracer_of
from shared.web.edge import make_application
from shared.web.health import add_health

__all__ = ["SERVICE", "create_app"]


def create_app(settings: Settings, clock: Clock | None = None) -> web.Application:
    """The service; it starts without Redis and waits for it."""
    tracer = tracer_of(SERVICE)
    resources = make_resources(settings, clock or SystemClock(), tracer)
    application = make_application(
        resources.metrics, default_renderer=page_renderer(resources.pages), tracer=tracer
    )
    application.middlewares.append(sign_in_first)
    application[RESOURCES] = resources
    add_routes(application)
    add_health(application, resources.metrics, {"redis": resources.bus.ping}, resources.bus.signals())
    application.on_response_prepare.append(add_security_headers)
    application.cleanup_ctx.append(_running)
    return application


async def _running(application: web.Application) -> AsyncIterator[None]:
    bus = application[RESOURCES].bus
    await bus.start()
    yield
    await bus.stop()
