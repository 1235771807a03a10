"""`POST /api/v1/oauth/create-code`: consent through a first-party front end instead of our page."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from services.auth_api.authorize.create_code import create_code
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import json_answer, oauth_endpoint
from services.auth_api.handlers.signed_in import signed_in
from shared.documents import Body
from shared.web.body import read_json
from shared.web.edge import peer_of, request_id_of


class NewCode(Body):
    """The body: what the page's link carries in its query."""

    client_id: str
    redirect_uri: str | None = None
    permissions: list[str] | None = Field(None, max_length=100)
    state: str | None = None
    context: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str | None = None


@oauth_endpoint
async def create(request: web.Request) -> web.StreamResponse:
    """POST: 200 with the code and where to send the person; needs their cookie and our own Origin."""
    user = await signed_in(request)
    body = await read_json(request, NewCode)
    given = body.model_dump(by_alias=True, exclude={"permissions"}).items()
    created = await create_code(
        request.app[RESOURCES],
        user,
        {name: value for name, value in given if value},
        body.permissions,
        peer=peer_of(request, request.app[RESOURCES].settings),
        request_id=request_id_of(request),
    )
    return json_answer(created.model_dump(by_alias=True))
