"""Who is behind the session cookie: the check in front of every endpoint for signed-in people."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.handlers.application import RESOURCES
from services.auth_api.sessions.service import read_session
from shared.contracts.sessions import SessionUser
from shared.secret_tokens import digest_of
from shared.settings import Settings
from shared.web.cookies import read_session_cookie, require_same_origin, session_cookie_name
from shared.web.failures import Problem

_READS: Final = frozenset({"GET", "HEAD"})


async def signed_in(request: web.Request) -> SessionUser:
    """The person whose session cookie came with the request.

    Raises:
        Problem: 401 without a live session; 403 for a change that no page of ours made.
        StoreUnavailable: a cookie came and cannot be checked now: 503, never 401.
    """
    resources = request.app[RESOURCES]
    session_id = read_session_cookie(request, resources.settings)
    if session_id is None:
        raise not_signed_in(resources.settings)
    if request.method not in _READS:
        require_same_origin(request, resources.settings)
    user = await read_session(resources, digest_of(session_id))
    if user is None:
        raise not_signed_in(resources.settings)
    return user


def presented_session(request: web.Request) -> str:
    """The digest of the session that a signed-in person's request came with."""
    session_id = read_session_cookie(request, request.app[RESOURCES].settings)
    return "" if session_id is None else digest_of(session_id)


def not_signed_in(settings: Settings, detail: str = "Sign in first.") -> Problem:
    """401, with the challenge that RFC 9110 §15.5.2 asks for."""
    challenge = f'Cookie realm="latchkey", cookie-name="{session_cookie_name(settings)}"'
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})
