"""A device's user code: typed in, then decided on like any other request (RFC 8628 §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from services.consent_ui.error_pages import refusal_page
from services.consent_ui.handlers.asking import ask, strict_query
from services.consent_ui.handlers.authorize import DECIDE
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import find_visitor, signed_in
from services.consent_ui.views.form_errors import NO_ERRORS, FormError, FormErrors
from services.consent_ui.visitor import Visitor
from shared.contracts.authorization import Refusal

LONGEST_TYPED: Final = 20
"""As much of a mistyped code as its field holds."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    """The entry of a code."""

    errors: FormErrors
    typed: str = ""


async def device(request: web.Request) -> web.StreamResponse:
    """``GET /device``: the entry; with ``user_code`` the consent page, which shows the code again."""
    query = strict_query(request)
    if any(name == "user_code" and value for name, value in query):
        return await ask(request, "device", query, template="consent.html", action=DECIDE, refused=_again)
    return await _entry(request)


async def _again(request: web.Request, refusal: Refusal) -> web.Response:
    """A mistyped code: the entry again, with what is wrong beside it; any other refusal is an error page."""
    pages = request.app[RESOURCES].pages
    visitor = await find_visitor(request) if refusal.status == HTTPStatus.NOT_FOUND else None
    if visitor is None:
        return refusal_page(request, pages, refusal)
    errors = FormErrors((FormError("user_code", f"{refusal.title}. {refusal.advice}"),))
    view = DeviceView(errors, request.query["user_code"][:LONGEST_TYPED])
    return pages.respond("device.html", view, visitor=visitor, status=refusal.status)


@signed_in
async def _entry(request: web.Request, visitor: Visitor) -> web.Response:
    return request.app[RESOURCES].pages.respond("device.html", DeviceView(NO_ERRORS), visitor=visitor)
