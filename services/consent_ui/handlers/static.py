"""The static files, under names that hold their hash: a browser asks for each once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from services.consent_ui.assets import Asset


def static_handler(assets: Mapping[str, Asset]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler of ``/static/{name}`` for these files, and no others."""
    by_name = {asset.name: asset for asset in assets.values()}

    async def static(request: web.Request) -> web.Response:
        asset = by_name.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        return web.Response(
            body=asset.content,
            content_type=asset.media_type,
            charset="utf-8",
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    return static
