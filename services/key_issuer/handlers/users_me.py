"""``/api/v1/users/me``: what integrators of the seed system ask right after the exchange, whom they act for."""

from __future__ import annotations

from aiohttp import web

from services.key_issuer.handlers.status import refused
from services.key_issuer.handlers.verify import presented_token
from services.key_issuer.resources import RESOURCES
from shared.seed_envelope import succeeded
from shared.web.body import json_response


async def users_me(request: web.Request) -> web.Response:
    """GET: 200 with the id and name of the person whose live key is presented; 401 for everything else."""
    resources = request.app[RESOURCES]
    token = presented_token(request)
    key = await resources.verifier.live_key(token) if token is not None else None
    if key is None:
        return refused()
    resources.last_use.note(key, resources.clock.now(), frozenset())
    body = {"id": key.user_id, "username": key.username}
    return json_response(succeeded("The person whose key this is.", body))
