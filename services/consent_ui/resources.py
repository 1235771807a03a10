"""What the handlers of consent_ui stand on, made once by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.assets import Asset
from services.consent_ui.csrf import CsrfTokens
from services.consent_ui.pages import Pages
from shared.bus import Bus
from shared.clock import Clock
from shared.permissions import Catalogue
from shared.settings import Settings
from shared.telemetry.metrics import Metrics


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
