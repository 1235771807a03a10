"""Disconnecting an app: the question what breaks, and doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.forms import read_page_form
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import signed_in
from services.consent_ui.views.keys import AppLine, app_line
from services.consent_ui.visitor import Visitor
from shared.contracts.apps import DisconnectApp, ListApps
from shared.web.failures import Problem
from shared.web.redirects import see_other

_FORM: Final = "disconnect"
DISCONNECT_SECONDS: Final = 3.2


@dataclass(frozen=True, slots=True)
class DisconnectView:
    """The question before an app is disconnected."""

    app: AppLine
    token: str


@signed_in
async def ask_disconnect(request: web.Request, visitor: Visitor) -> web.Response:
    """``GET /apps/{clientID}/disconnect``: what breaks. Changes nothing."""
    resources = request.app[RESOURCES]
    client_id = request.match_info["clientID"]
    listed = await resources.bus.request(ListApps(session=visitor.session))
    app = next((app for app in listed.apps if app.client_id == client_id), None)
    if app is None:
        raise Problem(404, "No app with this id has access to your account.")
    token = resources.csrf.token(visitor.session, f"{_FORM} {client_id}")
    view = DisconnectView(app_line(resources, app), token)
    return resources.pages.respond("disconnect.html", view, visitor=visitor)


@signed_in
async def disconnect(request: web.Request, visitor: Visitor) -> web.Response:
    """``POST /apps/{clientID}/disconnect``: every key, code and pending request of the two is dead."""
    resources = request.app[RESOURCES]
    form = await read_page_form(request, _FORM, id_field="client_id")
    command = DisconnectApp(session=visitor.session, client_id=form.one("client_id"))
    answer = await resources.bus.request(command, timeout=DISCONNECT_SECONDS)
    if answer.outcome == "not_found":
        raise Problem(404, "No app with this id has access to your account.")
    return see_other("/?done=disconnected" if answer.outcome == "done" else "/login")
