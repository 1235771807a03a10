"""The start page: what this is, or what has access to the person's account; and the keys as a file for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import Final

from aiohttp import web

from services.consent_ui.display_names import readable
from services.consent_ui.moments import day_of
from services.consent_ui.resources import RESOURCES, Resources
from services.consent_ui.session import SignInNeeded, ask, required_session
from shared.api_key import masked
from shared.contracts.access import Access, ReadAccess

_NOTICES: Final = {
    "signed-out": "You are signed out.",
    "disconnected": "The app is disconnected. Its keys are refused everywhere.",
    "revoked": "The key is revoked. It is refused everywhere.",
    "all-revoked": "Everything is revoked. No app and no key has access to your account.",
}
_FILENAME: Final = "keys.csv"
_COLUMNS: Final = ("Name", "App", "Key", "Key ID", "Permissions", "Status", "Made", "Last used", "Ends")
_FORMULA: Final = tuple(
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}"
)
"""What spreadsheets take for the beginning of a formula; strangers choose the names of apps."""


async def home(request: web.Request) -> web.Response:
    """``GET /``; ``?done=`` says which of our own sentences to show."""
    resources = request.app[RESOURCES]
    notice = _NOTICES.get(request.query.get("done", ""))
    try:
        visitor, access = await ask(request, ReadAccess(session=required_session(request)))
    except SignInNeeded:
        return resources.pages.respond("welcome.html", None, notice=notice)
    return resources.pages.respond("home.html", access, visitor=visitor, notice=notice)


async def download_keys(request: web.Request) -> web.Response:
    """``GET /keys.csv``: those that the start page lists. Changes nothing."""
    _, access = await ask(request, ReadAccess(session=required_session(request)))
    return web.Response(
        body=_key_table(request.app[RESOURCES], access),
        headers={"Content-Disposition": f'attachment; filename="{_FILENAME}"'},
        content_type="text/csv",
        charset="utf-8",
    )


def _key_table(resources: Resources, access: Access) -> bytes:
    """A table for spreadsheets (RFC 4180), in UTF-8 with the mark by which spreadsheets know it; times are UTC."""
    text = io.StringIO()
    table = csv.writer(text, quoting=csv.QUOTE_ALL)
    table.writerow(_COLUMNS)
    for key in access.keys:
        app_name = access.app_name(key)
        table.writerow(
            [
                _inert(readable(key.identifier)),
                "" if app_name is None else _inert(readable(app_name)),
                masked(resources.settings.key_prefix, key.key_id),
                key.key_id,
                _inert(" ".join(key.permissions)),
                key.status,
                *map(_time, (key.created_on, key.last_used_on, key.expires_on)),
            ]
        )
    return text.getvalue().encode("utf-8-sig")


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _time(on: int | None) -> str:
    return "" if on is None else day_of(on).iso
