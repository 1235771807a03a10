"""The session cookie: its name, its attributes, and reading it back."""

from __future__ import annotations

import re
from http.cookies import CookieError
from typing import Final

from aiohttp import web

from shared.settings import Settings

SESSION_SECONDS: Final = 90 * 24 * 3600
"""The absolute lifetime of a session; the idle one is kept on the server."""
_VALUE: Final = re.compile(r"[0-9A-Za-z]{43}")


def session_cookie_name(settings: Settings) -> str:
    """``__Host-latchkey_session`` on https, ``latchkey_session`` else (browsers refuse the prefix there)."""
    return "__Host-latchkey_session" if settings.secure else "latchkey_session"


def read_session_cookie(request: web.Request, settings: Settings) -> str | None:
    """The session id that the browser presents, or ``None``; never trusted before it is looked up."""
    try:
        value = request.cookies.get(session_cookie_name(settings))
    except (CookieError, ValueError):
        return None
    return value if value is not None and _VALUE.fullmatch(value) else None


def set_session_cookie(response: web.StreamResponse, settings: Settings, session_id: str) -> None:
    """Hands the browser a session: host-only, unreadable to scripts, sent on top-level navigation only."""
    response.set_cookie(
        session_cookie_name(settings),
        session_id,
        max_age=SESSION_SECONDS,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="Lax",
    )


def clear_session_cookie(response: web.StreamResponse, settings: Settings) -> None:
    """Makes the browser forget its session."""
    response.set_cookie(
        session_cookie_name(settings),
        "",
        max_age=0,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="Lax",
    )
