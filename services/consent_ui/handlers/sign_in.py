"""The pages for signing in and up, whose forms go to auth_api: no password ever comes here. And signing out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.form_errors import FormError, FormErrors
from services.consent_ui.forms import is_of_session, read_own_form, stale_form
from services.consent_ui.handlers.consent_request import SWITCH_FORM
from services.consent_ui.pages import LOGOUT_FORM
from services.consent_ui.resources import RESOURCES, Resources
from services.consent_ui.session import SIGNED_OUT, session_of, to_sign_in
from shared.contracts.clients import ReadClientName
from shared.contracts.sessions import EndSession, ReadSession
from shared.errors import StoreUnavailable
from shared.web.body import query_pairs
from shared.web.cookies import clear_session_cookie, forget_typed_username, read_typed_username
from shared.web.redirects import read_target, see_other, waiting_client_id
from shared.web.user_header import BY_HEADER, named_person

_ERRORS: Final = {
    "invalid": FormError("username", "The username or the password is wrong."),
    "throttled": FormError("", "Too many tries. Wait a minute, then try again."),
    "unavailable": FormError("", "We cannot check that right now. Try again in a moment."),
    "closed": FormError("", "This site does not take new accounts."),
    "again": FormError("", "You were not signed in. Try again."),
    "taken": FormError("username", "This username is taken. Choose another one."),
    "username": FormError("username", "A username has 3 to 30 letters, digits, - or _."),
    "password": FormError("password", "A password has 8 to 256 characters."),
    "common": FormError(
        "password", "This is one of the most common passwords, which guessers try first. Choose another."
    ),
    "is-name": FormError("password", "The password must not be the username."),
    "elsewhere": FormError("", "That form came from another site or address. Here is the right one."),
    "unreadable": FormError("", "We could not read what was sent. Please try again."),
    "broken": FormError("", "Something went wrong on our side. Please try again."),
}
_NOTICES: Final = {
    "password": "Your new password is set. Sign in with it.",
    "signed-out": "You are signed out.",
}


@dataclass(frozen=True, slots=True)
class SignInView:
    """The sign-in or sign-up page."""

    return_to: str | None
    """Where to go on, signed."""
    errors: FormErrors
    app_name: str | None = None
    """The app that waits for the person there."""
    username: str = ""
    """What was typed before something was wrong; never the password."""


async def login(request: web.Request) -> web.Response:
    """``GET /login``; ``?error=`` says which of our own sentences to show, ``?continue=`` where to go on.

    Who is signed in already, say in another tab, goes on at once; with one way in and nothing to say it is taken at once.
    """
    return await _form_page(request, "sign_in.html")


async def sign_up(request: web.Request) -> web.Response:
    """``GET /sign-up``, the same."""
    return await _form_page(request, "sign_up.html")


async def logout(request: web.Request) -> web.Response:
    """``POST /logout``: the session is dead on the server. With a ``target`` of ours: sign in again and go on there."""
    resources = request.app[RESOURCES]
    form = await read_own_form(request)
    session, target = session_of(request), form.text("target") if "target" in form.values else None
    if session is None:
        return see_other(SIGNED_OUT)
    # The token vouches for the target: it is one that we wrote into our page, for this session.
    if not is_of_session(request, form, LOGOUT_FORM if target is None else f"{SWITCH_FORM} {target}"):
        raise stale_form()
    await resources.bus.request(EndSession(session=session))
    response = (
        see_other("/?done=signed-out") if target is None else to_sign_in(request, target, signed_out=True)
    )
    clear_session_cookie(response, resources.settings)
    return response


def _only_way(request: web.Request) -> str | None:
    """Where the site's proxy names the person, or else the one way to sign in, if there is one and it is no password."""
    resources = request.app[RESOURCES]
    if named_person(request, resources.settings) is not None:
        return BY_HEADER
    site = resources.pages.site
    return site.ways_in[0].path if len(site.ways_in) == 1 and not site.passwords else None


async def _waiting_app(resources: Resources, target: str) -> str | None:
    """The name of the app that waits behind ``target``; ``None`` also while auth_api does not answer."""
    client_id = waiting_client_id(target)
    if client_id is None:
        return None
    try:
        return (await resources.bus.request(ReadClientName(client_id=client_id))).name
    except StoreUnavailable:
        return None  # one can sign in all the same


async def _form_page(request: web.Request, template: str) -> web.Response:
    resources = request.app[RESOURCES]
    query = query_pairs(request)
    errors = [_ERRORS[word] for name, word in query if name == "error" and word in _ERRORS]
    given = dict(query).get("continue", "")
    target, session = read_target(resources.settings.secrets, given), session_of(request)
    if target is not None and session is not None and not errors:
        state = await resources.bus.request(ReadSession(session=session))
        if state.user is not None:
            return see_other(target)
    notice = _NOTICES.get(dict(query).get("done", "")) if not errors else None
    if (way := _only_way(request)) is not None and not errors and notice is None:
        return see_other(way if target is None else f"{way}?continue={given}")
    typed = read_typed_username(request, resources.settings)
    view = SignInView(
        return_to=None if target is None else given,
        errors=FormErrors(tuple(dict.fromkeys(errors))),
        app_name=None if target is None else await _waiting_app(resources, target),
        username=typed if errors else "",
    )
    response = resources.pages.respond(template, view, notice=notice)
    if typed:
        forget_typed_username(response, resources.settings)
    return response
