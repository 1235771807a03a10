"""The start page: what this is, or what has access to the person's account."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.consent_ui.access import list_access
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import find_visitor
from services.consent_ui.views.keys import home_view

_NOTICES: Final = {
    "signed-out": "You are signed out.",
    "disconnected": "The app is disconnected. Its keys are refused everywhere.",
    "revoked": "The key is revoked. It is refused everywhere.",
    "all-revoked": "Everything is revoked. No app and no key has access to your account.",
    "some-revoked": "Not everything could be revoked just now. What is listed here still has access: try again.",
}


async def home(request: web.Request) -> web.Response:
    """``GET /``; ``?done=`` says which of our own sentences to show."""
    resources = request.app[RESOURCES]
    notice = _NOTICES.get(request.query.get("done", ""))
    visitor = await find_visitor(request)
    if visitor is None:
        return resources.pages.respond("welcome.html", None, notice=notice)
    apps, keys = await list_access(resources, visitor)
    view = home_view(resources, visitor.user.username, apps.apps, keys.keys)
    return resources.pages.respond("home.html", view, visitor=visitor, notice=notice)
