"""`POST /api/v1/oauth/register`: a program registers itself (RFC 7591); off unless the operator turns it on."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.clients.dynamic_registration import register_client
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import json_answer, oauth_endpoint
from services.auth_api.oauth.client_registration import read_registration, registration_response
from shared.api_key import mint_client_secret
from shared.secret_tokens import digest_of
from shared.web.body import read_json_object
from shared.web.edge import peer_of


@oauth_endpoint
async def register(request: web.Request) -> web.StreamResponse:
    """POST: 201 with the client's id and, once, its secret; 404 where registration is off."""
    resources = request.app[RESOURCES]
    settings = resources.settings
    if not settings.registration:
        raise web.HTTPNotFound
    registration = read_registration(await read_json_object(request), tuple(resources.catalogue))
    secret = None if registration.public else mint_client_secret(settings.key_prefix)
    client = await register_client(
        resources,
        registration,
        None if secret is None else digest_of(secret),
        peer=peer_of(request, settings),
    )
    response = registration_response(
        registration, client_id=client.client_id, client_secret=secret, issued_on=client.created_on
    )
    return json_answer(response, status=201)
