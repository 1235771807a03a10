"""The static files, under names that hold their hash: a browser asks for each once."""

from __future__ import annotations

from aiohttp import web

from services.consent_ui.resources import RESOURCES


async def static(request: web.Request) -> web.Response:
    """``GET /static/{name}``: one of these files, and no other."""
    assets, name = request.app[RESOURCES].assets.values(), request.match_info["name"]
    asset = next((asset for asset in assets if asset.name == name), None)
    if asset is None:
        raise web.HTTPNotFound
    return web.Response(
        body=asset.content,
        content_type=asset.media_type,
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
