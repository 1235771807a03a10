"""`POST /api/v1/oauth/token`: a code or device code in, a key out (RFC 6749 §3.2, RFC 8628 §3.4)."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.oauth_edge import (
    authenticated_client,
    is_json,
    json_answer,
    note,
    oauth_endpoint,
    read_parameters,
    refusals_noted,
)
from services.auth_api.oauth.token import KNOWN, enveloped, read_token_request
from services.auth_api.token.exchange import Exchange, exchange_code
from services.auth_api.token.idempotency import HEADER, read_idempotency_key
from shared.errors import StoreUnavailable
from shared.web.edge import peer_of

ANSWER_SECONDS: Final = 3.4
"""By then the answer is known, whatever hangs; a 503 is on its way within 4 s."""
_STEP: Final = "token"


@oauth_endpoint
async def token(request: web.Request) -> web.StreamResponse:
    """POST: 200 with the key; the code is spent. A form is answered bare, JSON with the seed system's envelope."""
    resources = request.app[RESOURCES]
    give_up_on = resources.clock.monotonic() + ANSWER_SECONDS
    async with asyncio.timeout(ANSWER_SECONDS):
        parameters = await read_parameters(request, KNOWN, allow_json=True)
        parameters.require("grant_type")
        client = await authenticated_client(request, parameters, _STEP, limited_later=True)
        try:
            with refusals_noted(request, client, _STEP):
                headers = request.headers.getall(HEADER, ())
                exchange = Exchange(
                    client,
                    read_token_request(parameters),
                    peer=peer_of(request, resources.settings),
                    give_up_on=give_up_on,
                    idempotency_key=read_idempotency_key(headers) if headers else None,
                )
                body = await exchange_code(resources, exchange)
        except StoreUnavailable as error:
            cause = f"temporarily unavailable ({error.store}); the code can be redeemed again"
            note(request, client, _STEP, cause, "temporarily_unavailable")
            raise
    note(request, client, _STEP, "a key was issued", proven=True)
    return json_answer(enveloped(body) if is_json(request) else body)
