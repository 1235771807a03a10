"""`/api/v1/account`: a person's password and sessions, and the new password behind an operator's link."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.accounts.password_changes import change_password
from services.auth_api.accounts.password_resets import UsedLinkError, reset_password
from services.auth_api.accounts.passwords import LONGEST_PASSWORD
from services.auth_api.accounts.service import UnfitPasswordError, WrongPasswordError
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.sent_forms import SentForm, form_fields, note_form, read_json_or_pairs
from services.auth_api.handlers.session import hand_session
from services.auth_api.handlers.signed_in import presented_session, signed_in
from services.auth_api.resources import Resources
from services.auth_api.sessions.account_sessions import (
    end_other_sessions,
    end_own_session,
    list_sessions,
)
from shared.contracts.field_errors import FieldError
from shared.documents import Body
from shared.web.body import json_response, refused_fields
from shared.web.cookies import refuse_foreign_origin
from shared.web.edge import peer_of
from shared.web.failures import Problem
from shared.web.redirects import see_other

WRONG_CURRENT = "is not your password"


class PasswordChange(Body):
    """The body that replaces a known password."""

    current: str
    new: str


class PasswordReset(Body):
    """The body that sets a password by an operator's link; ``token`` is what the link holds."""

    token: str
    new: str


async def change(request: web.Request) -> web.Response:
    """POST password: 204 and a new session cookie, all other sessions are over; 400 names the field that is wrong."""
    resources = _where_passwords_are(request)
    user = await signed_in(request)
    body = await read_json_or_pairs(request, PasswordChange)
    from_form = isinstance(body, list)
    if isinstance(body, list):
        body = form_fields(body, PasswordChange)
        note_form(request, SentForm())
    peer = peer_of(request, resources.settings)
    try:
        if len(body.current) > LONGEST_PASSWORD:
            raise _wrong("current", WRONG_CURRENT)  # no account has such a password
        account = await change_password(resources, user, body.current, body.new, peer)
    except WrongPasswordError:
        raise _wrong("current", WRONG_CURRENT) from None
    except UnfitPasswordError as unfit:
        raise _wrong("new", str(unfit)) from None
    response = see_other("/account?done=password") if from_form else _done()
    await hand_session(request, response, account)
    return response


async def reset(request: web.Request) -> web.Response:
    """POST password-reset: 204, every session is over; 400 for a password that cannot be one, 404 for a used link."""
    resources = _where_passwords_are(request)
    refuse_foreign_origin(request, resources.settings)
    body = await read_json_or_pairs(request, PasswordReset)
    from_form = isinstance(body, list)
    if isinstance(body, list):
        body = form_fields(body, PasswordReset)
        note_form(request, SentForm([("token", body.token)]))
    try:
        await reset_password(resources, body.token, body.new, peer_of(request, resources.settings))
    except UsedLinkError:
        raise Problem(404, "This link was used, is too old, or there is a newer one.") from None
    except UnfitPasswordError as unfit:
        raise _wrong("new", str(unfit)) from None
    return see_other("/login?done=password") if from_form else _done()


async def list_own_sessions(request: web.Request) -> web.Response:
    """GET sessions: 200 with where the person is signed in, the asking session first."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    found = await list_sessions(resources, user.user_id, presented_session(request))
    return json_response([session.model_dump(by_alias=True) for session in found])


async def end_others(request: web.Request) -> web.Response:
    """DELETE sessions: 204 once every other session of the person is dead."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    peer = peer_of(request, resources.settings)
    await end_other_sessions(resources, user, presented_session(request), peer)
    return _done()


async def end_one(request: web.Request) -> web.Response:
    """DELETE sessions/{sessionID}: 204 once it is dead, also the asking one; 404 where there is none of this id."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    peer = peer_of(request, resources.settings)
    if not await end_own_session(resources, user.user_id, request.match_info["sessionID"], peer):
        raise Problem(404, "You have no session with this id.")
    return _done()


def _where_passwords_are(request: web.Request) -> Resources:
    resources = request.app[RESOURCES]
    if not resources.settings.local_accounts:
        raise Problem(404, "There are no passwords here.")
    return resources


def _done() -> web.Response:
    return web.Response(status=204, headers={"Cache-Control": "no-store"})


def _wrong(field: str, detail: str) -> Problem:
    return refused_fields([FieldError(field=field, detail=detail)])
