"""``/developer/api``: the REST interface as a page, from our own origin and without scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

import shared
from services.consent_ui.resources import RESOURCES
from services.consent_ui.views.api import api_view

_DOCUMENT: Final = Path(shared.__file__).with_name("openapi.json")


def api_page() -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler; the document is read once, when the routes are added."""
    view = api_view(orjson.loads(_DOCUMENT.read_bytes()))

    async def show(request: web.Request) -> web.Response:
        return request.app[RESOURCES].pages.respond("api.html", view)

    return show
