"""`/api/v1/clients/{clientID}/webhook-keys`: the keys that sign a client's webhooks, to its author."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.clients import refusals
from services.auth_api.handlers.documents import WebhookKeyDocument, WebhookKeysDocument
from services.auth_api.handlers.retries import retry_of
from services.auth_api.handlers.signed_in import signed_in
from services.auth_api.webhooks.keys import own_keys, rotate_keys
from services.auth_api.webhooks.signing import WebhookKey
from shared.contracts.clients import OverlapSeconds
from shared.documents import Body
from shared.web.body import json_response, read_json


class WebhookKeyRotation(Body):
    """The body of a rotation of webhook keys."""

    overlap_seconds: OverlapSeconds = 0


async def list_own(request: web.Request) -> web.Response:
    """GET: 200 with the keys that sign now, newest first; 404 to everybody but the author."""
    user = await signed_in(request)
    with refusals():
        keys = await own_keys(request.app[RESOURCES], user.user_id, request.match_info["clientID"])
    return _answer(keys)


async def rotate(request: web.Request) -> web.Response:
    """POST rotate: 200 with the new keys and those before, which sign at most the overlap longer."""
    user = await signed_in(request)
    body = await read_json(request, WebhookKeyRotation) if request.body_exists else WebhookKeyRotation()
    overlap, client_id = body.overlap_seconds, request.match_info["clientID"]
    same = f"{retry_of(request)} {overlap}"  # another overlap is no retry: it may be that the newest keys were seen
    with refusals():
        keys = await rotate_keys(request.app[RESOURCES], user.user_id, client_id, overlap, same)
    return _answer(keys)


def _answer(keys: Iterable[WebhookKey]) -> web.Response:
    document = WebhookKeysDocument.of(None, keys=[WebhookKeyDocument.of(key) for key in keys])
    return json_response(document, headers={"Pragma": "no-cache"})
