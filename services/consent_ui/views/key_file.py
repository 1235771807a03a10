"""A new key as it is shown, once: the text, and the file that holds it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from services.consent_ui.views.permissions import PermissionLine


@dataclass(frozen=True, slots=True)
class NewKeyView:
    """A key in clear, for this one answer."""

    title: str
    app_name: str | None
    key_id: str
    content: str = field(repr=False)
    rows: int
    filename: str | None
    """``None`` where there is no file, only text to copy."""
    download: str | None = field(repr=False)
    """The file as a ``data:`` address: the browser saves it without asking the server again."""
    permissions: tuple[PermissionLine, ...]
    status_url: str
    old_key_note: str | None = None


def download_address(content: str) -> str:
    """The content as a ``data:`` address of a type that no browser displays."""
    return "data:application/octet-stream;base64," + base64.b64encode(content.encode()).decode()


def rows_of(content: str) -> int:
    """How many lines a text field should show."""
    return min(max(content.count("\n") + 1, 2), 16)
