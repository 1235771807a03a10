"""Who is in front of the page: the session that the browser presents, and the person behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import quote

from aiohttp import web

from services.consent_ui.pages import Visitor
from services.consent_ui.resources import RESOURCES
from shared.contracts.sessions import PersonalCommand, PersonalReply, ReadSession
from shared.web.cookies import session_of as presented_session
from shared.web.failures import Problem
from shared.web.redirects import is_own_target, see_other, sign_target

ANSWER_SECONDS: Final = 3.2
"""Longer than other requests: behind an answer auth_api may have to ask the issuer."""
SIGNED_OUT: Final = "/login?done=signed-out"
"""The sign-in page for somebody who has just signed out: it leads nowhere by itself."""
_KEPT_IN_TARGET: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "\\")

PageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ReplyT = TypeVar("ReplyT", bound=PersonalReply)


class SignInNeeded(Exception):  # noqa: N818 - named for what it says
    """No session was presented, or it is over: the person signs in first and then comes back to the page."""


def session_of(request: web.Request) -> str | None:
    """The digest of the session that the browser presents; it may be of no session at all."""
    return presented_session(request, request.app[RESOURCES].settings)


def required_session(request: web.Request) -> str:
    """The digest of the session that the browser presents.

    Raises:
        SignInNeeded: it presents none.
    """
    session = session_of(request)
    if session is None:
        raise SignInNeeded
    return session


async def ask(request: web.Request, command: PersonalCommand[ReplyT]) -> tuple[Visitor, ReplyT]:
    """Who is signed in, and auth_api's answer to them: all that a page needs to ask.

    Raises:
        SignInNeeded: the session is over; nothing was done.
        BusUnavailable: auth_api does not answer, which is never taken for a session that is over.
    """
    reply = await request.app[RESOURCES].bus.request(command, ANSWER_SECONDS)
    if reply.user is None:
        raise SignInNeeded
    return Visitor(command.session, reply.user), reply


async def signed_in(request: web.Request) -> Visitor:
    """Who is signed in, for a page that needs nothing else; raises as ``ask``."""
    visitor, _ = await ask(request, ReadSession(session=required_session(request)))
    return visitor


@web.middleware
async def sign_in_first(request: web.Request, handler: PageHandler) -> web.StreamResponse:
    """Redirects a person without a session to the sign-in page, and from there back to where they were going."""
    try:
        return await handler(request)
    except SignInNeeded:
        return to_sign_in(request, _after_sign_in(request))


def to_sign_in(request: web.Request, target: str, *, signed_out: bool = False) -> web.Response:
    """To the sign-in page, and after it to ``target`` (path and query on our origin).

    Who has just ``signed_out`` stays on that page, also where it leads to one login at once.

    Raises:
        Problem: 400, the target is too long to be carried along.
    """
    if not is_own_target(target):
        raise Problem(400, "The link is too long to be kept while you sign in. Sign in, then open it again.")
    signed = sign_target(request.app[RESOURCES].settings.secrets, target)
    return see_other(f"{SIGNED_OUT}&continue={signed}" if signed_out else f"/login?continue={signed}")


def target_of(request: web.Request) -> str:
    """Path and query of the request as they were sent, in visible ASCII. The Host header has no part in it."""
    url = request.rel_url
    target = url.raw_path + (f"?{url.raw_query_string}" if url.raw_query_string else "")
    return quote(target, safe=_KEPT_IN_TARGET, errors="surrogateescape")


def _after_sign_in(request: web.Request) -> str:
    """Where a person goes on: to the page itself, or to the one above where what they sent is lost anyway."""
    if request.method != "POST":
        return target_of(request)
    return next((above for above in ("/developer", "/account") if request.path.startswith(above)), "/")
