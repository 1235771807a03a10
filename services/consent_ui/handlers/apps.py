"""Taking back: one app, or everything. Each is a question what breaks, and doing it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.consent_ui.forms import read_page_form
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import ask, required_session
from shared.contracts.access import ReadAccess, RevokeAccess
from shared.web.failures import Problem
from shared.web.redirects import see_other

_DISCONNECT_FORM: Final = "disconnect"
_REVOKE_FORM: Final = "revoke-all"


async def ask_disconnect(request: web.Request) -> web.Response:
    """``GET /apps/{clientID}/disconnect``: what breaks. Changes nothing."""
    client_id = request.match_info["clientID"]
    visitor, access = await ask(request, ReadAccess(session=required_session(request)))
    app = next((app for app in access.apps if app.client_id == client_id), None)
    if app is None:
        raise _no_such_app()
    form = f"{_DISCONNECT_FORM} {client_id}"
    return request.app[RESOURCES].pages.respond("disconnect.html", app, visitor=visitor, form=form)


async def disconnect(request: web.Request) -> web.Response:
    """``POST /apps/{clientID}/disconnect``: every key, code and pending request of the two is dead."""
    form = await read_page_form(request, _DISCONNECT_FORM, id_field="client_id")
    command = RevokeAccess(session=required_session(request), client_id=form.one("client_id"))
    _, answer = await ask(request, command)
    if answer.outcome == "not_found":
        raise _no_such_app()
    return see_other("/?done=disconnected")


async def ask_revoke_all(request: web.Request) -> web.Response:
    """``GET /revoke-all``: how much breaks. Changes nothing."""
    visitor, access = await ask(request, ReadAccess(session=required_session(request)))
    return request.app[RESOURCES].pages.respond("revoke_all.html", access, visitor=visitor, form=_REVOKE_FORM)


async def revoke_all(request: web.Request) -> web.Response:
    """``POST /revoke-all``: every app is disconnected and every key dead, however many there are."""
    await read_page_form(request, _REVOKE_FORM)
    await ask(request, RevokeAccess(session=required_session(request)))
    return see_other("/?done=all-revoked")


def _no_such_app() -> Problem:
    return Problem(404, "No app with this id has access to your account.")
