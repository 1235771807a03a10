"""`/api/v1/users`: signing up."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.accounts import password_problem, sign_up, username_problem
from services.auth_api.db.repository import UsernameTakenError
from services.auth_api.handlers.credentials import Credentials, read_credentials
from services.auth_api.handlers.session import answer_with_session, back_to_page
from services.auth_api.resources import RESOURCES, Resources
from services.auth_api.throttle import Throttled
from shared.contracts.clients import FieldError
from shared.errors import StoreUnavailable
from shared.web.body import refused_fields
from shared.web.failures import Problem
from shared.web.origin import refuse_foreign_origin
from shared.web.peer import peer_of

SIGN_UP_PAGE: Final = "/sign-up"


async def create_user(request: web.Request) -> web.Response:
    """POST: 201 and a session; 409 if the name is taken, 403 if sign-up is closed. A form is answered 303."""
    resources = request.app[RESOURCES]
    refuse_foreign_origin(request, resources.settings)
    credentials = await read_credentials(request)
    if not credentials.from_form:
        return await _created(request, resources, credentials)
    error = _form_error(resources, credentials)
    if error is None:
        try:
            return await _signed_up(request, resources, credentials)
        except UsernameTakenError:
            error = "taken"
        except Throttled:
            error = "throttled"
        except StoreUnavailable:
            error = "unavailable"
    return back_to_page(SIGN_UP_PAGE, error, credentials)


def _form_error(resources: Resources, credentials: Credentials) -> str | None:
    if resources.settings.sign_up == "closed":
        return "closed"
    if username_problem(credentials.username):
        return "username"
    return "password" if password_problem(credentials.password) else None


async def _created(request: web.Request, resources: Resources, credentials: Credentials) -> web.Response:
    if resources.settings.sign_up == "closed":
        raise Problem(403, "Signing up is closed here; ask the operator for an account.")
    problems = {
        "username": username_problem(credentials.username),
        "password": password_problem(credentials.password),
    }
    errors = [FieldError(field=name, detail=detail) for name, detail in problems.items() if detail]
    if errors:
        raise refused_fields(errors)
    try:
        return await _signed_up(request, resources, credentials)
    except UsernameTakenError:
        taken = FieldError(field="username", detail="is taken")
        raise Problem(409, "This username is taken.", errors=[taken]) from None


async def _signed_up(request: web.Request, resources: Resources, credentials: Credentials) -> web.Response:
    peer = peer_of(request, resources.settings)
    account = await sign_up(resources, credentials.username, credentials.password, peer)
    return await answer_with_session(request, resources, account, credentials, status=201)
