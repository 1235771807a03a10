"""What the handlers of consent_ui stand on: settings, bus, pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.assets import Asset, load_assets
from services.consent_ui.filters import make_filters
from services.consent_ui.pages import CsrfTokens, Pages
from shared.bus import Bus
from shared.clock import Clock
from shared.permissions import Catalogue, load_permissions
from shared.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import NO_TRACES, Tracer

SERVICE: Final = "consent_ui"


@dataclass(frozen=True, slots=True)
class Resources:
    """Settings, clock, bus and the pages. The service keeps no data: whatever it shows was asked for just now."""

    settings: Settings
    clock: Clock
    bus: Bus
    catalogue: Catalogue
    """The permissions of the site, in the order of its file."""
    metrics: Metrics
    assets: Mapping[str, Asset]
    pages: Pages
    csrf: CsrfTokens


RESOURCES: Final = web.AppKey("resources", Resources)


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
