"""What this server says of itself: the metadata of RFC 8414, and the description of the REST interface."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

import shared
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.oauth.metadata import metadata as document
from shared.web.body import JSON

_HEADERS: Final = {"Cache-Control": "public, max-age=300"}


async def metadata(request: web.Request) -> web.Response:
    """GET: 200 with the document; the issuer is the configured one, whatever Host the request names."""
    resources = request.app[RESOURCES]
    settings = resources.settings
    body = document(settings.public_url, resources.catalogue, registration=settings.registration)
    return web.Response(body=orjson.dumps(body), headers=_HEADERS, content_type=JSON)


async def api_document(_request: web.Request) -> web.Response:
    """GET: 200 with the OpenAPI document, as it was made from the models."""
    return web.Response(body=_document(), headers=_HEADERS, content_type=JSON)


@cache
def _document() -> bytes:
    return orjson.dumps(orjson.loads(Path(shared.__file__).with_name("openapi.json").read_bytes()))
