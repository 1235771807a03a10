"""What the handlers stand on, made: settings, bus, pages."""

from __future__ import annotations

from typing import Final

from services.consent_ui.assets import load_assets
from services.consent_ui.csrf import CsrfTokens
from services.consent_ui.filters import make_filters
from services.consent_ui.pages import Pages
from services.consent_ui.resources import Resources
from shared.bus import Bus
from shared.clock import Clock
from shared.permissions import load_permissions
from shared.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import NO_TRACES, Tracer

SERVICE: Final = "consent_ui"


def make_resources(settings: Settings, clock: Clock, tracer: Tracer = NO_TRACES) -> Resources:
    """What the handlers stand on; nothing is opened yet."""
    metrics = Metrics(SERVICE)
    assets, csrf = load_assets(), CsrfTokens(settings.secrets)
    catalogue = load_permissions(settings.permissions_file)
    return Resources(
        settings=settings,
        clock=clock,
        bus=Bus(settings.redis_url, tracer=tracer, source=SERVICE, clock=clock, metrics=metrics),
        catalogue=catalogue,
        metrics=metrics,
        assets=assets,
        pages=Pages(settings, assets, csrf, make_filters(settings, catalogue, clock)),
        csrf=csrf,
    )
