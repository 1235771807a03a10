"""A person's keys as a table for spreadsheets (RFC 4180): what each may do and when it was used, never a key."""

from __future__ import annotations

import csv
import io
from typing import Final

from services.consent_ui.display_names import readable
from services.consent_ui.resources import Resources
from services.consent_ui.views.moments import day_of
from shared.api_key import masked
from shared.contracts.access import Access

FILENAME: Final = "keys.csv"
_COLUMNS: Final = ("Name", "App", "Key", "Key ID", "Permissions", "Status", "Made", "Last used", "Ends")
_FORMULA: Final = tuple(
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}"
)
"""What spreadsheets take for the beginning of a formula; strangers choose the names of apps."""


def key_table(resources: Resources, access: Access) -> bytes:
    """The file, in UTF-8 with the mark by which spreadsheets know it; times are UTC."""
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
