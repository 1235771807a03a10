"""Redirects whose Location goes out exactly as given."""

from __future__ import annotations

from aiohttp import web


def see_other(location: str) -> web.Response:
    """303 with ``location`` byte for byte (aiohttp's own exceptions re-normalise it); never 307, which re-posts."""
    return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
