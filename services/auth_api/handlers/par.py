"""`POST /api/v1/oauth/par`: a client sends its authorization request ahead of the browser (RFC 9126)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.authorize.pushed_requests import push
from services.auth_api.clients.model import Client
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import (
    authenticated_client,
    json_answer,
    note,
    oauth_endpoint,
    read_parameters,
    refusals_noted,
)
from services.auth_api.oauth.authorization_request import (
    AUTHORIZE,
    AuthorizationParameters,
    check_request,
    target_of,
)
from services.auth_api.oauth.errors import invalid_request
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.resources import Resources
from shared.web.edge import peer_of

_KNOWN: Final = frozenset({*AUTHORIZE, "client_secret"})
_STEP: Final = "par"


@oauth_endpoint
async def push_request(request: web.Request) -> web.StreamResponse:
    """POST: 201 with the reference, good for 90 s; every rule of the authorization endpoint is checked here too."""
    resources = request.app[RESOURCES]
    sent = await read_parameters(request, _KNOWN)
    client = await authenticated_client(request, sent, _STEP)
    with refusals_noted(request, client, _STEP):
        parameters = _checked(resources, sent, client)
        peer = peer_of(request, resources.settings)
        response = await push(resources, client.client_id, parameters, peer=peer)
    note(request, client, _STEP, "the request was kept")
    return json_answer(response, status=201)


def _checked(resources: Resources, sent: Parameters, client: Client) -> AuthorizationParameters:
    parameters = AuthorizationParameters(sent, AUTHORIZE)
    if parameters.get("request_uri") is not None:
        raise invalid_request("request_uri must not be pushed.")  # RFC 9126 §2.1
    check_request(parameters, client, target_of(parameters, client), resources.catalogue)
    return parameters
