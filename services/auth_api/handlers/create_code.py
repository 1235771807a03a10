"""`POST /api/v1/oauth/create-code`: consent through a first-party front end instead of our page."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from services.auth_api.code_creation import create_code
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import json_answer, oauth_endpoint
from services.auth_api.handlers.signed_in import signed_in
from shared.web.body import read_json
from shared.web.edge import request_id_of


class NewCode(BaseModel):
    """The body: what the page's link carries in its query."""

    model_config = ConfigDict(extra="forbid", strict=True)

    clientID: str  # noqa: N815 - the public name
    redirectUri: str | None = None  # noqa: N815 - the public name
    permissions: list[str] | None = Field(None, max_length=100)
    state: str | None = None
    context: str | None = None
    codeChallenge: str | None = None  # noqa: N815 - the public name
    codeChallengeMethod: str | None = None  # noqa: N815 - the public name


@oauth_endpoint
async def create(request: web.Request) -> web.StreamResponse:
    """POST: 200 with the code and where to send the person; needs their cookie and our own Origin."""
    user = await signed_in(request)
    body = await read_json(request, NewCode)
    given = body.model_dump(exclude={"permissions"}).items()
    created = await create_code(
        request.app[RESOURCES],
        user,
        {name: value for name, value in given if value},
        body.permissions,
        request_id=request_id_of(request),
    )
    return json_answer(
        {
            "code": created.code,
            "userID": created.user_id,
            "createdOn": created.created_on,
            "expiresIn": created.expires_in,
            "redirectTo": created.redirect_to,
        }
    )
