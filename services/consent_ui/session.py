"""Who is in front of the page: the session that the browser presents, and the person behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final
from urllib.parse import quote

from aiohttp import web

from services.consent_ui.resources import RESOURCES
from services.consent_ui.visitor import Visitor
from shared.contracts.sessions import ReadSession, StoreContinuation
from shared.secret_tokens import digest_of
from shared.web.cookies import read_session_cookie
from shared.web.origin import require_same_origin
from shared.web.redirects import see_other

_KEPT_IN_TARGET: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "\\")


PageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
VisitorHandler = Callable[[web.Request, Visitor], Awaitable[web.StreamResponse]]


def session_of(request: web.Request) -> str | None:
    """The digest of the session that the browser presents; it may be of no session at all."""
    cookie = read_session_cookie(request, request.app[RESOURCES].settings)
    return None if cookie is None else digest_of(cookie)


async def find_visitor(request: web.Request) -> Visitor | None:
    """The signed-in person, or ``None``.

    Raises:
        BusUnavailable: auth_api does not answer; nobody is taken for signed out because of that.
    """
    session = session_of(request)
    if session is None:
        return None
    state = await request.app[RESOURCES].bus.request(ReadSession(session=session))
    return None if state.user is None else Visitor(session, state.user)


def signed_in(handler: VisitorHandler) -> PageHandler:
    """A page for signed-in people only; all others sign in first and then come back to it."""

    @wraps(handler)
    async def page(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            require_same_origin(request, request.app[RESOURCES].settings)
        visitor = await find_visitor(request)
        if visitor is None:
            return await ask_to_sign_in(request, _after_sign_in(request))
        return await handler(request, visitor)

    return page


def _after_sign_in(request: web.Request) -> str:
    """Where a person goes on: to the page itself, or to the one above where what they sent is lost anyway."""
    if request.method != "POST":
        return target_of(request)
    return "/developer" if request.path.startswith("/developer") else "/"


async def ask_to_sign_in(request: web.Request, target: str) -> web.Response:
    """To the sign-in page, and after it to ``target`` (path and query on our origin)."""
    stored = await request.app[RESOURCES].bus.request(StoreContinuation(target=target))
    return to_sign_in(stored.continue_id)


def to_sign_in(continue_id: str) -> web.Response:
    """To the sign-in page; the visit goes on under the opaque ``continue_id``."""
    return see_other(f"/login?continue={quote(continue_id, safe='')}")


def target_of(request: web.Request) -> str:
    """Path and query of the request as they were sent, in visible ASCII. The Host header has no part in it."""
    url = request.rel_url
    target = url.raw_path + (f"?{url.raw_query_string}" if url.raw_query_string else "")
    return quote(target, safe=_KEPT_IN_TARGET, errors="surrogateescape")
