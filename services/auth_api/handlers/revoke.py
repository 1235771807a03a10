"""`POST /api/v1/oauth/revoke`: a client gives back a key of its own (RFC 7009)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import (
    authenticated_client,
    json_answer,
    note_refusal,
    oauth_endpoint,
    read_parameters,
)
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.token.revoke import revoke_token
from shared.web.edge import request_id_of

KNOWN: Final = frozenset({"token", "token_type_hint", "client_id", "client_secret"})
_STEP: Final = "revoke"


@oauth_endpoint
async def revoke(request: web.Request) -> web.StreamResponse:
    """POST: 200 with ``{}``, also for an unknown key or one of another client, which stays alive (§2.2)."""
    resources = request.app[RESOURCES]
    parameters = await read_parameters(request, KNOWN)
    client = await authenticated_client(request, parameters, _STEP)
    try:
        token = parameters.require("token")
    except OAuthError as error:
        note_refusal(resources, client, _STEP, error, request)
        raise
    found = await revoke_token(resources, client, token)
    cause = "the key was revoked" if found else "no such key of this client; nothing was changed"
    resources.activity_log.note(client.client_id, _STEP, cause, request_id=request_id_of(request))
    return json_answer({}, cross_origin=True)
