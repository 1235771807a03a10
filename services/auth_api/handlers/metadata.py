"""`GET /.well-known/oauth-authorization-server`: what this server can do (RFC 8414)."""

from __future__ import annotations

import orjson
from aiohttp import web

from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import CROSS_ORIGIN
from services.auth_api.oauth.metadata import metadata as document
from shared.web.body import JSON


async def metadata(request: web.Request) -> web.Response:
    """GET: 200 with the document; the issuer is the configured one, whatever Host the request names."""
    resources = request.app[RESOURCES]
    settings = resources.settings
    body = document(settings.public_url, resources.catalogue, registration=settings.registration)
    headers = {**CROSS_ORIGIN, "Cache-Control": "public, max-age=300"}
    return web.Response(body=orjson.dumps(body), headers=headers, content_type=JSON)
