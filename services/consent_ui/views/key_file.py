"""A new key as it is shown, once: the text, and the file that holds it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from shared.contracts.keys import KeyView


@dataclass(frozen=True, slots=True)
class NewKeyView:
    """A key in clear, for this one answer."""

    title: str
    key: KeyView
    app_name: str | None
    """Of the app that it is for, as its developer chose it."""
    content: str = field(repr=False)
    filename: str | None = None
    """``None`` where there is no file, only text to copy."""
    old_key_note: str | None = None

    @property
    def rows(self) -> int:
        """How many lines a text field should show."""
        return rows_of(self.content)

    @property
    def download(self) -> str | None:
        """The file as a ``data:`` address: the browser saves it without asking the server again."""
        return None if self.filename is None else download_address(self.content)


def download_address(content: str) -> str:
    """The content as a ``data:`` address of a type that no browser displays."""
    return "data:application/octet-stream;base64," + base64.b64encode(content.encode()).decode()


def rows_of(content: str) -> int:
    """How many lines a text field should show."""
    return min(max(content.count("\n") + 1, 2), 16)
