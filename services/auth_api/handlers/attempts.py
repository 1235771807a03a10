"""`GET /api/v1/clients/{clientID}/attempts`: the flight recorder of a client, for its author."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.activity_log import read_attempts
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.signed_in import signed_in
from shared.web.body import json_response
from shared.web.failures import Problem


async def list_all(request: web.Request) -> web.Response:
    """GET: 200 with the last 100 attempts, newest first; 404 for anybody but the author."""
    user = await signed_in(request)
    attempts = await read_attempts(request.app[RESOURCES], user.user_id, request.match_info["clientID"])
    if attempts is None:
        raise Problem(404, "There is no such client.")
    return json_response([attempt.model_dump(by_alias=True) for attempt in attempts])
