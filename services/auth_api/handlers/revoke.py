"""`POST /api/v1/oauth/revoke`: a client gives back a key of its own (RFC 7009)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import (
    authenticated_client,
    json_answer,
    note,
    oauth_endpoint,
    read_parameters,
    refusals_noted,
)
from services.auth_api.token.revoke import revoke_token

KNOWN: Final = frozenset({"token", "token_type_hint", "client_id", "client_secret"})
_STEP: Final = "revoke"


@oauth_endpoint
async def revoke(request: web.Request) -> web.StreamResponse:
    """POST: 200 with ``{}``, also for an unknown key or one of another client, which stays alive (§2.2)."""
    parameters = await read_parameters(request, KNOWN)
    client = await authenticated_client(request, parameters, _STEP)
    with refusals_noted(request, client, _STEP):
        token = parameters.require("token")
    found = await revoke_token(request.app[RESOURCES], client, token)
    cause = "the key was revoked" if found else "no such key of this client; nothing was changed"
    note(request, client, _STEP, cause)
    return json_answer({})
