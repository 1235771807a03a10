"""`/api/v1/login-requests/{challenge}`: what the site's own login asks and says, server to server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from services.auth_api.accounts.identities import CONTROL, external_id_problem
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.service_caller import require_service_key
from services.auth_api.own_login.handoff import answer, read
from services.auth_api.own_login.service_keys import SIGN_IN
from shared.contracts.field_errors import FieldError
from shared.documents import Body, Document
from shared.web.body import json_response, read_json, refused_fields
from shared.web.failures import Problem

LONGEST_TEXT: Final = 255
LONGEST_EMAIL: Final = 254
LONGEST_ERROR: Final = 1_000


class SignInAnswer(Body):
    """Who somebody is, or ``error`` alone: why they must not come in, in words for them."""

    external_id: str | None = None
    username: str | None = None
    display_name: str | None = None
    email: str | None = None
    error: str | None = None


class WaitingClient(Document):
    """The app that waits for the sign-in."""

    client_id: str
    name: str


class LoginRequestDocument(Document):
    """A sign-in under way."""

    challenge: str
    client: WaitingClient | None = None
    expires_on: int


class SignInAnswered(Document):
    """Where to send the browser."""

    redirect_to: str


async def read_login_request(request: web.Request) -> web.Response:
    """GET: 200 with what the challenge is about; 404 for one that is unknown, over or used, all alike."""
    await require_service_key(request, SIGN_IN)
    challenge = request.match_info["challenge"]
    found = await read(request.app[RESOURCES], challenge)
    if found is None:
        raise _no_such_challenge()
    known, client = found
    document = LoginRequestDocument(
        challenge=challenge,
        client=None if client is None else WaitingClient(client_id=client.client_id, name=client.name),
        expires_on=known.expires_on,
    )
    return json_response(document.model_dump(by_alias=True, exclude_none=True))


async def answer_login_request(request: web.Request) -> web.Response:
    """PUT: 200 with the address to send the browser to, the same again for the same body; 409 for another one."""
    await require_service_key(request, SIGN_IN)
    body = await read_json(request, SignInAnswer)
    errors = list(_problems(body))
    if errors:
        raise refused_fields(errors)
    said = body.model_dump(by_alias=True, exclude_none=True)
    try:
        address = await answer(request.app[RESOURCES], request.match_info["challenge"], said)
    except LookupError:
        raise _no_such_challenge() from None
    if address is None:
        raise Problem(409, "This challenge was answered otherwise before.")
    return json_response(SignInAnswered(redirect_to=address).model_dump(by_alias=True))


def _problems(body: SignInAnswer) -> Iterator[FieldError]:
    given = body.model_dump(exclude_unset=True)
    if "error" in given:
        for name in given.keys() - {"error"}:
            yield FieldError(field=_public(name), detail="must not be there beside error")
        if not _is_text(body.error, LONGEST_ERROR):
            yield FieldError(field="error", detail=f"must be text of 1 to {LONGEST_ERROR} characters")
        return
    id_problem = external_id_problem(body.external_id or "")
    if id_problem is not None:
        yield FieldError(field="externalID", detail=id_problem)
    for name, longest in (
        ("username", LONGEST_TEXT),
        ("display_name", LONGEST_TEXT),
        ("email", LONGEST_EMAIL),
    ):
        if name in given and not _is_text(given[name], longest):
            yield FieldError(field=_public(name), detail=f"must be text of 1 to {longest} characters")
    if body.email is not None and "@" not in body.email:
        yield FieldError(field="email", detail="must hold an @")


def _is_text(text: str | None, longest: int) -> bool:
    """Whether this can be shown, in one line."""
    return text is not None and 0 < len(text) <= longest and CONTROL.search(text) is None


def _public(name: str) -> str:
    return SignInAnswer.model_fields[name].alias or name


def _no_such_challenge() -> Problem:
    return Problem(404, "There is no such sign-in under way: it is unknown, over, or was used.")
