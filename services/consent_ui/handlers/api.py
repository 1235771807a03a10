"""``/developer/api``: the REST interface as a page, from our own origin and without scripts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

import shared
from services.consent_ui.resources import RESOURCES
from services.consent_ui.views.api import ApiView

_DOCUMENT: Final = Path(shared.__file__).with_name("openapi.json")


async def api_page(request: web.Request) -> web.Response:
    """``GET /developer/api``."""
    return request.app[RESOURCES].pages.respond("api.html", _view())


@cache
def _view() -> ApiView:
    return ApiView(orjson.loads(_DOCUMENT.read_bytes()))
