"""``/api/v1/status``: the seed system's shape, where its integrators look whose key they hold."""

from __future__ import annotations

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict

from services.key_issuer.handlers.verify import NOT_LIVE_CHALLENGE, presented_token
from services.key_issuer.resources import RESOURCES
from services.key_issuer.verification import LiveKey
from shared.contracts.field_errors import FieldError
from shared.seed_envelope import failed, succeeded
from shared.version import VERSION
from shared.web.body import JSON as JSON_TYPE
from shared.web.body import (
    SMALL_BODY,
    json_response,
    parse_json_object,
    query_pairs,
    read_body,
    require_media_type,
    validated,
)
from shared.web.edge import authorization_of
from shared.web.failures import Problem


class StatusRequest(BaseModel):
    """What may be posted: nothing, or something to be said back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    echo: str | None = None


async def status(request: web.Request) -> web.Response:
    """The times, the version, and whose key was presented: 200 without a key or with a live one, 401 otherwise."""
    resources = request.app[RESOURCES]
    echo = await _echo(request)
    key: LiveKey | None = None
    if authorization_of(request):
        token = presented_token(request)
        key = await resources.verifier.live_key(token) if token is not None else None
        if key is None:
            return refused()
        resources.last_use.note(key, resources.clock.now(), frozenset())
    body: dict[str, object] = {
        "serverTime": resources.clock.now(),
        "startTime": resources.started_on,
        "version": VERSION,
        "whoami": None if key is None else key.user_id,
        "externalUser": None if key is None else key.external_user,
        "permissions": [] if key is None else list(key.permissions),
    }
    if echo is not None:
        body["echo"] = echo
    return json_response(succeeded("Status check successful.", body))


def refused() -> web.Response:
    """The 401 for anything that is no live key, in the seed's shape."""
    return json_response(
        failed("The key is missing or not live."),
        status=401,
        headers={hdrs.WWW_AUTHENTICATE: NOT_LIVE_CHALLENGE},
    )


async def _echo(request: web.Request) -> str | None:
    given = [value for name, value in query_pairs(request) if name == "echo"]
    if request.method == hdrs.METH_POST:
        body = await read_body(request, SMALL_BODY)
        if body:
            require_media_type(request, JSON_TYPE)
            posted = validated(StatusRequest, parse_json_object(body, SMALL_BODY)).echo
            given += [] if posted is None else [posted]
    if len(given) > 1:
        twice = FieldError(field="echo", detail="is there twice")
        raise Problem(400, "echo is there twice.", code="invalid_request", errors=(twice,))
    return given[0] if given else None
