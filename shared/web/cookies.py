"""Our cookies, and the check of the origin that keeps other sites from acting with the session's."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

from shared.secret_tokens import session_digest
from shared.settings import Settings
from shared.web.failures import Problem
from shared.web.user_header import named_person

if TYPE_CHECKING:  # the commands on accounts know of sessions and not of HTTP
    from aiohttp import web

SESSION_SECONDS: Final = 90 * 24 * 3600
"""The absolute lifetime of a session; the idle one is kept on the server."""
LONGEST_TYPED: Final = 60
"""Characters of a typed username that is kept; no username has as many, and what is longer is typed anew."""
TYPED_SECONDS: Final = 60
_VALUE: Final = re.compile(r"[0-9A-Za-z]{43}")
_TYPED: Final = re.compile(r"[0-9A-Za-z_-]{1,320}", re.ASCII)


def cookie_name(settings: Settings, noun: str) -> str:
    """``__Host-latchkey_<noun>`` on https, ``latchkey_<noun>`` else (browsers refuse the prefix there)."""
    return f"__Host-latchkey_{noun}" if settings.secure else f"latchkey_{noun}"


def read_cookie(request: web.Request, name: str) -> str:
    """What the browser presents, empty where it presents nothing; never trusted before it is looked at.

    Of several cookies of one name the last counts. Reading all of them, as aiohttp does, takes ten times as long.
    """
    found = ""
    for pair in request.headers.get("Cookie", "").split(";"):
        own, _, value = pair.strip().partition("=")
        if own == name:
            found = value
    return found


def set_cookie(response: web.StreamResponse, settings: Settings, name: str, value: str, seconds: int) -> None:
    """Hands the browser a cookie: host-only, unreadable to scripts, sent on top-level navigation only. 0 s: forget it."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="Lax",
    )


def session_cookie_name(settings: Settings) -> str:
    """``__Host-latchkey_session`` on https, ``latchkey_session`` else."""
    return cookie_name(settings, "session")


def read_session_cookie(request: web.Request, settings: Settings) -> str | None:
    """The session id that the browser presents, or ``None``; never trusted before it is looked up."""
    value = read_cookie(request, session_cookie_name(settings))
    return value if _VALUE.fullmatch(value) else None


def session_of(request: web.Request, settings: Settings) -> str | None:
    """The digest of the session that the browser presents; it may be of no session at all.

    Raises:
        Problem: 403, the header of the site's proxy is not to be believed (``named_person``).
    """
    person = None if settings.user_header is None else named_person(request, settings)
    session_id = read_session_cookie(request, settings)
    return None if session_id is None else session_digest(session_id, person)


def set_session_cookie(response: web.StreamResponse, settings: Settings, session_id: str) -> None:
    """Hands the browser a session."""
    set_cookie(response, settings, session_cookie_name(settings), session_id, SESSION_SECONDS)


def clear_session_cookie(response: web.StreamResponse, settings: Settings) -> None:
    """Makes the browser forget its session."""
    set_cookie(response, settings, session_cookie_name(settings), "", 0)


def keep_typed_username(response: web.StreamResponse, settings: Settings, username: str) -> None:
    """Hands the browser the username that somebody typed into a form that was refused, for the page that comes back.

    An address would keep it in the history and in the logs of proxies; the password is not kept at all.
    """
    if 0 < len(username) <= LONGEST_TYPED:
        value = base64.urlsafe_b64encode(username.encode()).decode().rstrip("=")
        set_cookie(response, settings, cookie_name(settings, "typed"), value, TYPED_SECONDS)


def read_typed_username(request: web.Request, settings: Settings) -> str:
    """The username that was typed, or nothing; it comes from the browser and is shown only there."""
    value = read_cookie(request, cookie_name(settings, "typed"))
    if not _TYPED.fullmatch(value):
        return ""
    try:
        username = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
    except ValueError:
        return ""
    return username if len(username) <= LONGEST_TYPED and username.isprintable() else ""


def forget_typed_username(response: web.StreamResponse, settings: Settings) -> None:
    """Makes the browser forget it: a page shows it once."""
    set_cookie(response, settings, cookie_name(settings, "typed"), "", 0)


def is_foreign(request: web.Request, settings: Settings) -> bool:
    """Whether the browser says that another site made this request."""
    origins = request.headers.getall("Origin", [])
    if any(origin != settings.origin for origin in origins):
        return True
    site = request.headers.get("Sec-Fetch-Site")
    return site is not None and site not in ("same-origin", "none")


def is_same_origin(request: web.Request, settings: Settings) -> bool:
    """Whether the browser proves that a page of ours made this request.

    By ``Origin`` equal to the public origin, or by ``Sec-Fetch-Site: same-origin`` where no Origin was sent.
    """
    origins = request.headers.getall("Origin", [])
    if origins:
        return (
            origins == [settings.origin]
            and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        )
    return request.headers.getall("Sec-Fetch-Site", []) == ["same-origin"]


def require_same_origin(request: web.Request, settings: Settings) -> None:
    """Refuses a cookie-authenticated change that no page of ours made.

    Raises:
        Problem: 403.
    """
    if not is_same_origin(request, settings):
        raise Problem(
            403,
            f"A change made with the session cookie needs the header Origin: {settings.origin}"
            " (or Sec-Fetch-Site: same-origin).",
        )


def refuse_foreign_origin(request: web.Request, settings: Settings) -> None:
    """Refuses signing in or up from another site's page (login CSRF).

    Raises:
        Problem: 403.
    """
    if is_foreign(request, settings):
        raise Problem(403, f"Signing in and up is only possible from {settings.origin}.")
