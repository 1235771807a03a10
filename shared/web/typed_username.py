"""The username that somebody typed into a form that was refused: kept in their own browser until the page is back.

An address would keep it in the history and in the logs of proxies; the password is not kept at all.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from aiohttp import web

from shared.settings import Settings
from shared.web.cookies import cookie_name, read_cookie, set_cookie

LONGEST: Final = 60
"""Characters; no username has as many, and what is longer is typed anew."""
KEPT_SECONDS: Final = 60
_NOUN: Final = "typed"
_VALUE: Final = re.compile(r"[0-9A-Za-z_-]{1,320}", re.ASCII)


def keep_typed_username(response: web.StreamResponse, settings: Settings, username: str) -> None:
    """Hands the browser what was typed, for the page that it is sent back to."""
    if 0 < len(username) <= LONGEST:
        value = base64.urlsafe_b64encode(username.encode()).decode().rstrip("=")
        set_cookie(response, settings, cookie_name(settings, _NOUN), value, KEPT_SECONDS)


def read_typed_username(request: web.Request, settings: Settings) -> str:
    """What was typed, or nothing; it comes from the browser and is shown to nobody else."""
    value = read_cookie(request, cookie_name(settings, _NOUN))
    if not _VALUE.fullmatch(value):
        return ""
    try:
        username = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
    except ValueError:
        return ""
    return username if len(username) <= LONGEST and username.isprintable() else ""


def forget_typed_username(response: web.StreamResponse, settings: Settings) -> None:
    """Makes the browser forget it: a page shows it once."""
    set_cookie(response, settings, cookie_name(settings, _NOUN), "", 0)
