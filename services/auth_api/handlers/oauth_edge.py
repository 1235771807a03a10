"""What the OAuth endpoints share towards HTTP: their parameters and their errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Final

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from services.auth_api.clients.authentication import authenticate_client
from services.auth_api.clients.model import Client
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.oauth.client_authentication import CHALLENGE, read_client_credentials
from services.auth_api.oauth.errors import OAuthError, invalid_request
from services.auth_api.oauth.parameters import Parameters, collect, collect_json
from services.auth_api.oauth.token import enveloped_error
from shared.contracts.clients import AttemptBy
from shared.web.body import (
    FORM,
    JSON,
    parse_json_object,
    parse_pairs,
    query_pairs,
    read_body,
    require_media_type,
)
from shared.web.edge import authorization_of, peer_of, request_id_of
from shared.web.error_renderers import oauth_error_body, render_oauth_error
from shared.web.failures import Failure, Problem

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""RFC 6749 §5.1: what holds a key, or might have, is cached nowhere on the way."""

_PROVEN: Final = web.RequestKey("proven", bool)
"""Whether the client has shown its secret."""

_log = structlog.get_logger("latchkey.oauth")


def oauth_endpoint(handler: Handler) -> Handler:
    """Turns the errors of the protocol into answers; their cause goes to the debug log, without any secret."""

    @wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except OAuthError as error:
            _log.debug("refused", error=error.code, cause=error.cause, request_id=request_id_of(request))
            raise problem_of(error) from None

    return answer


def problem_of(error: OAuthError) -> Problem:
    """An error of the protocol as the edge answers it; every 401 carries a challenge (RFC 6749 §5.2)."""
    unauthenticated = error.status == 401  # noqa: PLR2004 - what HTTP calls it
    headers = {"WWW-Authenticate": CHALLENGE} if unauthenticated else {}
    return Problem(error.status, error.description, code=error.code, headers=headers)


def render_token_error(request: web.Request, failure: Failure) -> web.Response:
    """RFC 6749 §5.2 JSON, never cached; with the envelope's members where a JSON body was sent."""
    response = render_oauth_error(request, failure)
    if is_json(request):
        response.body = orjson.dumps(enveloped_error(oauth_error_body(failure)))
    return response


def is_json(request: web.Request) -> bool:
    """Whether the request says that its body is JSON."""
    sent = request.headers.get("Content-Type", FORM)
    return sent != FORM and sent.partition(";")[0].strip().lower() == JSON


def json_answer(body: object, *, status: int = 200) -> web.Response:
    """``body`` as JSON that is cached nowhere."""
    return web.Response(body=orjson.dumps(body), status=status, headers=NO_STORE, content_type=JSON)


async def read_parameters(
    request: web.Request, known: frozenset[str], *, allow_json: bool = False
) -> Parameters:
    """The known parameters of the body, each at most once; none of them may be in the query string.

    Raises:
        Problem: 415, 413, 408, or 400 for a body that cannot be read.
        OAuthError: ``invalid_request`` naming the parameter.
    """
    _refuse_query(request, known)
    if not request.body_exists and "Content-Type" not in request.headers:
        return Parameters({})
    media_type = require_media_type(request, *((FORM, JSON) if allow_json else (FORM,)))
    raw = await read_body(request)
    if media_type == JSON:
        return collect_json(parse_json_object(raw), known)
    parameters = collect(parse_pairs(raw, "body"), known)
    parameters.refuse_repeated()
    return parameters


async def authenticated_client(
    request: web.Request, parameters: Parameters, step: str, *, limited_later: bool = False
) -> Client:
    """The client that makes the request, by HTTP Basic, by its secret in the body, or public.

    ``limited_later``: see ``authenticate_client``.

    Raises:
        OAuthError: ``invalid_client`` or ``invalid_request``.
        Throttled: this client and peer have failed too often.
        StoreUnavailable: the client cannot be read.
    """
    resources = request.app[RESOURCES]
    credentials = read_client_credentials(authorization_of(request), parameters)
    client = await authenticate_client(
        resources,
        credentials,
        peer=peer_of(request, resources.settings),
        step=step,
        request_id=request_id_of(request),
        limited_later=limited_later,
    )
    request[_PROVEN] = not client.public
    return client


@contextmanager
def refusals_noted(request: web.Request, client: Client, step: str) -> Iterator[None]:
    """Writes what is refused inside into the client's activity log, with the exact cause."""
    try:
        yield
    except OAuthError as error:
        note(request, client, step, error.cause, error.code)
        raise


def note(
    request: web.Request,
    client: Client,
    step: str,
    cause: str,
    error: str | None = None,
    *,
    proven: bool = False,
) -> None:
    """Writes into the client's activity log what became of a request; ``error`` is ``None`` where all was well.

    ``proven``: the request shows that it is the client's also where that is public.
    """
    by: AttemptBy = "client" if proven or request.get(_PROVEN) else "nobody"
    log = request.app[RESOURCES].activity_log
    log.note(client.client_id, step, cause, by=by, error=error, request_id=request_id_of(request))


def _refuse_query(request: web.Request, known: frozenset[str]) -> None:
    # A code or secret in a URL ends up in logs, so it is not accepted from there (RFC 6749 §2.3.1, §3.2).
    if request.rel_url.raw_query_string:
        for name, _ in query_pairs(request):
            if name in known:
                raise invalid_request(f"{name} must be in the body, not in the query string.")
