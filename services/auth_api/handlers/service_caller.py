"""The site's own servers: the check in front of every endpoint that is for them."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from services.auth_api.handlers.application import RESOURCES
from services.auth_api.own_login.service_keys import permissions_of
from shared.web.edge import authorization_of, peer_of, scheme_of
from shared.web.failures import Problem

_SCHEME: Final = "bearer"


async def require_service_key(request: web.Request, permission: str) -> None:
    """Lets a request through whose ``Authorization: Bearer`` holds a live service key with this permission.

    Raises:
        Problem: 429 for a peer that has presented too many wrong ones, 401 for no live service key (RFC 6750 §3), 403 for one without the permission.
        StoreUnavailable: key_issuer does not answer.
    """
    headers = authorization_of(request)
    token = ""
    if len(headers) == 1 and scheme_of(headers[0]) == _SCHEME:
        token = headers[0][len(_SCHEME) :].strip(" ")
    resources = request.app[RESOURCES]
    permissions = await permissions_of(resources, token, peer_of(request, resources.settings))
    if permissions is None:
        challenge = 'Bearer error="invalid_token"' if headers else "Bearer"
        raise Problem(
            401,
            "The service key is missing or not live.",
            code="invalid_token",
            headers={hdrs.WWW_AUTHENTICATE: challenge},
        )
    if permission not in permissions:
        raise Problem(
            403,
            f"The service key lacks the permission {permission}.",
            code="insufficient_scope",
            headers={hdrs.WWW_AUTHENTICATE: f'Bearer error="insufficient_scope", scope="{permission}"'},
        )
