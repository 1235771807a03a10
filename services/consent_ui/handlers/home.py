"""The start page: what this is, or what has access to the person's account; and the keys as a file for spreadsheets."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import SignInNeeded, ask, required_session
from services.consent_ui.views.key_table import FILENAME, key_table
from shared.contracts.access import ReadAccess

_NOTICES: Final = {
    "signed-out": "You are signed out.",
    "disconnected": "The app is disconnected. Its keys are refused everywhere.",
    "revoked": "The key is revoked. It is refused everywhere.",
    "all-revoked": "Everything is revoked. No app and no key has access to your account.",
}


async def home(request: web.Request) -> web.Response:
    """``GET /``; ``?done=`` says which of our own sentences to show."""
    resources = request.app[RESOURCES]
    notice = _NOTICES.get(request.query.get("done", ""))
    try:
        visitor, access = await ask(request, ReadAccess(session=required_session(request)))
    except SignInNeeded:
        return resources.pages.respond("welcome.html", None, notice=notice)
    return resources.pages.respond("home.html", access, visitor=visitor, notice=notice)


async def download_keys(request: web.Request) -> web.Response:
    """``GET /keys.csv``: those that the start page lists. Changes nothing."""
    _, access = await ask(request, ReadAccess(session=required_session(request)))
    return web.Response(
        body=key_table(request.app[RESOURCES], access),
        headers={"Content-Disposition": f'attachment; filename="{FILENAME}"'},
        content_type="text/csv",
        charset="utf-8",
    )
