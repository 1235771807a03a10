"""`GET /api/v1/openapi.json`: the description of the REST interface, made from the models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

import shared
from services.auth_api.handlers.oauth_edge import CROSS_ORIGIN
from shared.web.body import JSON

_DOCUMENT: Final = Path(shared.__file__).with_name("openapi.json")


def api_document() -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler; the document is read once, when the routes are added."""
    body = orjson.dumps(orjson.loads(_DOCUMENT.read_bytes()))
    headers = {**CROSS_ORIGIN, "Cache-Control": "public, max-age=300"}

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers, content_type=JSON)

    return answer
