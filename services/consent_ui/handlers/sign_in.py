"""The pages for signing in and up, whose forms go to auth_api: no password ever comes here. And signing out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.forms import TOKEN_FIELD, PageForm
from services.consent_ui.pages import LOGOUT_FORM
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import ask_to_sign_in, session_of
from services.consent_ui.views.consent import SWITCH_FORM
from services.consent_ui.views.form_errors import FormError, FormErrors
from shared.contracts.sessions import EndSession
from shared.web.body import query_pairs, read_form
from shared.web.cookies import clear_session_cookie
from shared.web.failures import Problem
from shared.web.origin import require_same_origin
from shared.web.redirects import see_other
from shared.web.typed_username import forget_typed_username, read_typed_username

_CONTINUE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_ERRORS: Final = {
    "invalid": FormError("username", "The username or the password is wrong."),
    "throttled": FormError("", "Too many tries. Wait a minute, then try again."),
    "unavailable": FormError("", "We cannot check that right now. Try again in a moment."),
    "closed": FormError("", "This site does not take new accounts."),
    "taken": FormError("username", "This username is taken. Choose another one."),
    "username": FormError("username", "A username has 3 to 30 letters, digits, - or _."),
    "password": FormError("password", "A password has 8 to 256 characters."),
    "elsewhere": FormError("", "That form came from another site or address. Here is the right one."),
    "unreadable": FormError("", "We could not read what was sent. Please try again."),
    "broken": FormError("", "Something went wrong on our side. Please try again."),
}


@dataclass(frozen=True, slots=True)
class SignInView:
    """The sign-in or sign-up page."""

    continue_id: str | None
    errors: FormErrors
    username: str = ""
    """What was typed before something was wrong; never the password."""


async def login(request: web.Request) -> web.Response:
    """``GET /login``; ``?error=`` says which of our own sentences to show, ``?continue=`` where to go on."""
    return _form_page(request, "sign_in.html")


async def sign_up(request: web.Request) -> web.Response:
    """``GET /sign-up``."""
    return _form_page(request, "sign_up.html")


async def logout(request: web.Request) -> web.Response:
    """``POST /logout``: the session is dead on the server. With a ``target`` of ours: sign in again and go on there."""
    resources = request.app[RESOURCES]
    require_same_origin(request, resources.settings)
    form = await _logout_form(request)
    session = session_of(request)
    target = form.values.get("target")
    name = LOGOUT_FORM if target is None else f"{SWITCH_FORM} {target[0]}"
    if session is None:
        return see_other("/login")
    # The token vouches for the target: it is one that we wrote into our page, for this session.
    if not resources.csrf.accepts(session, name, form.one(TOKEN_FIELD)):
        raise Problem(403, "The form does not belong to this sign-in.")
    await resources.bus.request(EndSession(session=session))
    response = see_other("/?done=signed-out") if target is None else await ask_to_sign_in(request, target[0])
    clear_session_cookie(response, resources.settings)
    return response


async def _logout_form(request: web.Request) -> PageForm:
    values: dict[str, list[str]] = {}
    for name, value in await read_form(request):
        values.setdefault(name, []).append(value)
    return PageForm(values)


def _form_page(request: web.Request, template: str) -> web.Response:
    resources = request.app[RESOURCES]
    query = query_pairs(request)
    errors = [_ERRORS[word] for name, word in query if name == "error" and word in _ERRORS]
    continue_id = dict(query).get("continue", "")
    typed = read_typed_username(request, resources.settings)
    view = SignInView(
        continue_id=continue_id if _CONTINUE_ID.fullmatch(continue_id) else None,
        errors=FormErrors(tuple(dict.fromkeys(errors))),
        username=typed if errors else "",
    )
    response = resources.pages.respond(template, view)
    if typed:
        forget_typed_username(response, resources.settings)
    return response
