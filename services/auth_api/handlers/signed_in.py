"""Who is behind the session cookie: the check in front of every endpoint for signed-in people."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.accounts.identities import (
    SITE,
    AccountDisabledError,
    Identity,
    Introduction,
    account_of,
)
from services.auth_api.accounts.service import find_active_user
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import end_every_session, read_session
from shared.contracts.sessions import SessionUser
from shared.secret_tokens import session_digest
from shared.settings import Settings
from shared.web.cookies import (
    read_session_cookie,
    require_same_origin,
    session_cookie_name,
    session_of,
)
from shared.web.failures import Problem
from shared.web.user_header import named_person

_READS: Final = frozenset({"GET", "HEAD"})


async def signed_in(request: web.Request) -> SessionUser:
    """The person whose session cookie came with the request, or whom the site's proxy names in its header.

    Raises:
        Problem: 401 without a live session; 403 for a change that no page of ours made.
        StoreUnavailable: a cookie came and cannot be checked now: 503, never 401.
    """
    resources = request.app[RESOURCES]
    settings = resources.settings
    session_id = read_session_cookie(request, settings)
    person = None if settings.user_header is None else named_person(request, settings)
    if session_id is None and person is None:
        raise not_signed_in(settings)
    if request.method not in _READS:
        require_same_origin(request, settings)
    user = None
    if session_id is not None:
        user = await read_session(resources, session_digest(session_id, person))
    if user is None and person is not None:
        user = await _named_user(resources, person, session_id)
    if user is None:
        raise not_signed_in(settings)
    return user


async def _named_user(resources: Resources, person: str, session_id: str | None) -> SessionUser | None:
    """Whom the site's proxy names. A session of somebody else, or that began otherwise, is over."""
    if session_id is not None:
        await end_every_session(resources, session_id)
    try:
        account = await account_of(resources, Identity(SITE, person), Introduction(person))
    except AccountDisabledError:
        return None
    active = await find_active_user(resources, account.user_id)
    return None if active is None else active.to_session_user()


def presented_session(request: web.Request) -> str:
    """The digest of the session that a signed-in person's request came with."""
    return session_of(request, request.app[RESOURCES].settings) or ""


def not_signed_in(settings: Settings, detail: str = "Sign in first.") -> Problem:
    """401, with the challenge that RFC 9110 §15.5.2 asks for."""
    challenge = f'Cookie realm="latchkey", cookie-name="{session_cookie_name(settings)}"'
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})
