"""Where the handlers find what the use cases stand on: in the application, under a key."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.resources import Resources

RESOURCES: Final = web.AppKey("resources", Resources)
