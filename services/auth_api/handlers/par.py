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
    Question,
    check_permissions,
    check_request,
    target_of,
)
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.oauth.pushed_request import KNOWN, check_pushable
from services.auth_api.resources import Resources

_STEP: Final = "par"


@oauth_endpoint
async def push_request(request: web.Request) -> web.StreamResponse:
    """POST: 201 with the reference, good for 90 s; every rule of the authorization endpoint is checked here too."""
    resources = request.app[RESOURCES]
    parameters = await read_parameters(request, KNOWN)
    client = await authenticated_client(request, parameters, _STEP)
    with refusals_noted(request, client, _STEP):
        question = _checked(resources, parameters, client)
    response = await push(resources, client.client_id, question)
    note(request, client, _STEP, "the request was kept")
    return json_answer(response, status=201)


def _checked(resources: Resources, parameters: Parameters, client: Client) -> Question:
    question = Question(parameters, AUTHORIZE)
    check_pushable(question)
    request = check_request(question, client, target_of(question, client))
    check_permissions(request, client.requested_permissions, resources.catalogue)
    return question
