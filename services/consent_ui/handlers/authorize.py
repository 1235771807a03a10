"""The pages on which an app asks for access: the seed's link and the standard endpoint (RFC 6749 §3.1)."""

from __future__ import annotations

from aiohttp import web

from services.consent_ui.handlers.asking import ask, strict_query

DECIDE: str = "/oauth/decide"


async def request_auth(request: web.Request) -> web.Response:
    """``GET /oauth/request-auth?clientID=…[&redirectUri=][&state=][&context=]``."""
    return await ask(request, "request_auth", strict_query(request), template="consent.html", action=DECIDE)


async def authorize(request: web.Request) -> web.Response:
    """``GET /oauth/authorize``: RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 9126 §4, RFC 9207."""
    return await ask(request, "authorize", strict_query(request), template="consent.html", action=DECIDE)
