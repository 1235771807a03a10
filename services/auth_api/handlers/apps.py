"""`/api/v1/apps`: the connected apps of the signed-in person."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.grants.connected_apps import disconnect_app, list_apps
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.signed_in import signed_in
from shared.web.body import json_response
from shared.web.failures import Problem


async def list_connected(request: web.Request) -> web.Response:
    """GET: 200 with the clients that hold a live key or a grant of the person."""
    user = await signed_in(request)
    apps = await list_apps(request.app[RESOURCES], user.user_id)
    return json_response([app.model_dump(by_alias=True) for app in apps])


async def disconnect(request: web.Request) -> web.Response:
    """DELETE: 204 once every key, code and pending request of the person and that client is dead."""
    user = await signed_in(request)
    if not await disconnect_app(request.app[RESOURCES], user.user_id, request.match_info["clientID"]):
        raise Problem(404, "There is no such client.")
    return web.Response(status=204, headers={"Cache-Control": "no-store"})
