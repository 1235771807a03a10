"""`/api/v1/users`: signing up."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.accounts.service import password_problem, sign_up, username_problem
from services.auth_api.db.repository import UsernameTakenError
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.credentials import read_credentials
from services.auth_api.handlers.session import answer_with_session
from shared.contracts.clients import FieldError
from shared.web.body import refused_fields
from shared.web.cookies import refuse_foreign_origin
from shared.web.edge import peer_of
from shared.web.failures import Problem


async def create_user(request: web.Request) -> web.Response:
    """POST: 201 and a session; 409 if the name is taken, 403 if sign-up is closed. A form is answered 303."""
    resources = request.app[RESOURCES]
    refuse_foreign_origin(request, resources.settings)
    credentials = await read_credentials(request)
    if resources.settings.sign_up == "closed":
        raise Problem(403, "Signing up is closed here; ask the operator for an account.")
    problems = {
        "username": username_problem(credentials.username),
        "password": password_problem(credentials.password),
    }
    errors = [FieldError(field=name, detail=detail) for name, detail in problems.items() if detail]
    if errors:
        raise refused_fields(errors)
    peer = peer_of(request, resources.settings)
    try:
        account = await sign_up(resources, credentials.username, credentials.password, peer)
    except UsernameTakenError:
        taken = FieldError(field="username", detail="is taken")
        raise Problem(409, "This username is taken.", errors=[taken]) from None
    return await answer_with_session(request, resources, account, credentials, status=201)
