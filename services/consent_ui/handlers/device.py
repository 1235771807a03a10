"""A device's user code: typed in, then decided on like any other request (RFC 8628 §3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from services.consent_ui.handlers.asking import ask, strict_query
from services.consent_ui.handlers.authorize import DECIDE
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import signed_in
from services.consent_ui.views.form_errors import NO_ERRORS, FormErrors
from services.consent_ui.visitor import Visitor


@dataclass(frozen=True, slots=True)
class DeviceView:
    """The entry of a code."""

    errors: FormErrors


async def device(request: web.Request) -> web.StreamResponse:
    """``GET /device``: the entry; with ``user_code`` the consent page, which shows the code again."""
    query = strict_query(request)
    if any(name == "user_code" and value for name, value in query):
        return await ask(request, "device", query, template="consent.html", action=DECIDE)
    return await _entry(request)


@signed_in
async def _entry(request: web.Request, visitor: Visitor) -> web.Response:
    return request.app[RESOURCES].pages.respond("device.html", DeviceView(NO_ERRORS), visitor=visitor)
