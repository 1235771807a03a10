"""How an endpoint for people knows the retry of a request whose answer was lost."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.oauth.errors import OAuthError
from services.auth_api.token.idempotency import HEADER, read_idempotency_key
from shared.web.failures import Problem


def retry_of(request: web.Request) -> str:
    """The request's ``Idempotency-Key``, empty where it has none.

    Raises:
        Problem: 400, it is there twice or is none.
    """
    try:
        return read_idempotency_key(request.headers.getall(HEADER, [])) or ""
    except OAuthError as error:
        raise Problem(400, error.description) from None
