"""The username that somebody typed into a form that was refused: kept in their own browser until the page is back.

An address would keep it in the history and in the logs of proxies; the password is not kept at all.
"""

from __future__ import annotations

import base64
import binascii
import re
from http.cookies import CookieError
from typing import Final

from aiohttp import web

from shared.settings import Settings

LONGEST: Final = 60
"""Characters; no username has as many, and what is longer is typed anew."""
KEPT_SECONDS: Final = 60
_VALUE: Final = re.compile(r"[0-9A-Za-z_-]{1,320}", re.ASCII)


def _cookie_name(settings: Settings) -> str:
    return "__Host-latchkey_typed" if settings.secure else "latchkey_typed"


def keep_typed_username(response: web.StreamResponse, settings: Settings, username: str) -> None:
    """Hands the browser what was typed, for the page that it is sent back to."""
    if 0 < len(username) <= LONGEST:
        value = base64.urlsafe_b64encode(username.encode()).decode().rstrip("=")
        _set(response, settings, value, KEPT_SECONDS)


def read_typed_username(request: web.Request, settings: Settings) -> str:
    """What was typed, or nothing; it comes from the browser and is shown to nobody else."""
    try:
        value = request.cookies.get(_cookie_name(settings), "")
        if not _VALUE.fullmatch(value):
            return ""
        username = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
    except (CookieError, ValueError, binascii.Error):
        return ""
    return username if len(username) <= LONGEST and username.isprintable() else ""


def forget_typed_username(response: web.StreamResponse, settings: Settings) -> None:
    """Makes the browser forget it: a page shows it once."""
    _set(response, settings, "", 0)


def _set(response: web.StreamResponse, settings: Settings, value: str, seconds: int) -> None:
    response.set_cookie(
        _cookie_name(settings),
        value,
        max_age=seconds,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="Lax",
    )
