"""`POST /api/v1/oauth/device_authorization`: codes for a device without a browser (RFC 8628 §3.1)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.clients.authentication import name_client
from services.auth_api.clients.model import Client
from services.auth_api.device_flow.device_codes import start_device
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import (
    authenticated_client,
    json_answer,
    note,
    oauth_endpoint,
    read_parameters,
    refusals_noted,
)
from services.auth_api.oauth.authorization_request import check_permissions
from services.auth_api.oauth.client_authentication import read_client_credentials
from services.auth_api.oauth.device import KNOWN
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.oauth.scope import narrow, parse_scope
from services.auth_api.resources import Resources
from shared.web.edge import authorization_of, peer_of

_STEP: Final = "device"


@oauth_endpoint
async def start(request: web.Request) -> web.StreamResponse:
    """POST: 200 with the codes. ``client_id`` alone suffices: nothing is given before a person approves."""
    resources = request.app[RESOURCES]
    parameters = await read_parameters(request, KNOWN)
    client = await _client(request, parameters)
    with refusals_noted(request, client, _STEP):
        permissions = _permissions(resources, parameters, client)
    response = await start_device(resources, client, permissions, peer=peer_of(request, resources.settings))
    note(request, client, _STEP, "a device code was given")
    return json_answer(response)


async def _client(request: web.Request, parameters: Parameters) -> Client:
    credentials = read_client_credentials(authorization_of(request), parameters)
    if credentials.secret is not None:
        return await authenticated_client(request, parameters, _STEP)
    resources = request.app[RESOURCES]
    return await name_client(resources, credentials.client_id, peer=peer_of(request, resources.settings))


def _permissions(resources: Resources, parameters: Parameters, client: Client) -> tuple[str, ...]:
    permissions = narrow(parse_scope(parameters.get("scope")), client.requested_permissions)
    check_permissions(permissions, client.requested_permissions, resources.catalogue)
    return permissions
