"""Where the handlers find what they stand on: in the application, under a key."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.key_issuer.resources import Resources

RESOURCES: Final = web.AppKey("resources", Resources)
