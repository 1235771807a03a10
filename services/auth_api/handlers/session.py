"""`/api/v1/users` and `/api/v1/session`: signing up, signing in, who is signed in, signing out."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.accounts.passwords import LONGEST_PASSWORD
from services.auth_api.accounts.service import (
    Account,
    new_password_problem,
    sign_in,
    sign_up,
    username_problem,
)
from services.auth_api.db.repository import UsernameTakenError
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.credentials import PersonCredentials, read_person_credentials
from services.auth_api.handlers.documents import UserDocument
from services.auth_api.handlers.signed_in import not_signed_in, signed_in
from services.auth_api.resources import Resources
from services.auth_api.sessions.account_sessions import keep_origin
from services.auth_api.sessions.service import end_session, start_session
from shared.contracts.field_errors import FieldError
from shared.secret_tokens import session_digest
from shared.web.body import json_response, refused_fields
from shared.web.cookies import (
    clear_session_cookie,
    read_session_cookie,
    refuse_foreign_origin,
    require_same_origin,
    session_of,
    set_session_cookie,
)
from shared.web.edge import peer_of
from shared.web.failures import Problem
from shared.web.redirects import see_other


async def create_user(request: web.Request) -> web.Response:
    """POST: 201 and a session; 409 if the name is taken, 403 if sign-up is closed. A form is answered 303."""
    resources = request.app[RESOURCES]
    refuse_foreign_origin(request, resources.settings)
    _refuse_where_no_passwords_are(resources)
    credentials = await read_person_credentials(request)
    if resources.settings.sign_up == "closed":
        raise Problem(403, "Signing up is closed here; ask the operator for an account.")
    username, password = credentials.username, credentials.password
    peer = peer_of(request, resources.settings)
    problems = {
        "username": username_problem(username),
        "password": await new_password_problem(resources, username, password, peer),
    }
    errors = [FieldError(field=name, detail=detail) for name, detail in problems.items() if detail]
    if errors:
        raise refused_fields(errors)
    try:
        account = await sign_up(resources, username, password, peer)
    except UsernameTakenError:
        taken = FieldError(field="username", detail="is taken")
        raise Problem(409, "This username is taken.", errors=[taken]) from None
    return await _answer_with_session(request, account, credentials, status=201)


async def create_session(request: web.Request) -> web.Response:
    """POST: 200 and a cookie; 401 for every kind of wrong. A form of ours is answered 303 either way."""
    resources = request.app[RESOURCES]
    refuse_foreign_origin(request, resources.settings)
    _refuse_where_no_passwords_are(resources)
    credentials = await read_person_credentials(request)
    account = await _signed_in_account(request, resources, credentials)
    if account is None:
        raise not_signed_in(resources.settings, "Wrong username or password.")
    return await _answer_with_session(request, account, credentials, status=200)


async def read_session(request: web.Request) -> web.Response:
    """GET: 200 with the person, or 401."""
    user = await signed_in(request)
    return json_response(UserDocument.of(user))


async def delete_session(request: web.Request) -> web.Response:
    """DELETE: 204; the session is dead on the server, also if it was before."""
    resources = request.app[RESOURCES]
    session = session_of(request, resources.settings)
    if session is None:
        raise not_signed_in(resources.settings)
    require_same_origin(request, resources.settings)
    await end_session(resources, session, peer_of(request, resources.settings))
    response = web.Response(status=204, headers={"Cache-Control": "no-store"})
    clear_session_cookie(response, resources.settings)
    return response


def _refuse_where_no_passwords_are(resources: Resources) -> None:
    if not resources.settings.local_accounts:
        raise Problem(403, "There are no passwords here: sign in by the login of the site.")


async def _answer_with_session(
    request: web.Request, account: Account, credentials: PersonCredentials, *, status: int
) -> web.Response:
    if credentials.from_form:
        response = see_other(credentials.return_to)
    else:
        response = json_response(UserDocument.of(account), status)
    await hand_session(request, response, account)
    return response


async def hand_session(
    request: web.Request, response: web.Response, account: Account, person: str | None = None
) -> str:
    """Signs the person in with a new session, whose digest it returns; the one that came with the request is dead.

    ``person`` is whom the site's proxy names, if the session lives only while it does.
    """
    resources = request.app[RESOURCES]
    settings = resources.settings
    session_id = await start_session(resources, account, read_session_cookie(request, settings), person)
    digest = session_digest(session_id, person)
    peer, user_agent = peer_of(request, settings), request.headers.get("User-Agent", "")
    await keep_origin(resources, account, digest, peer, user_agent)
    set_session_cookie(response, settings, session_id)
    return digest


async def _signed_in_account(
    request: web.Request, resources: Resources, credentials: PersonCredentials
) -> Account | None:
    if len(credentials.password) > LONGEST_PASSWORD:
        return None  # a form's; no account has such a password
    peer = peer_of(request, resources.settings)
    return await sign_in(resources, credentials.username, credentials.password, peer)
