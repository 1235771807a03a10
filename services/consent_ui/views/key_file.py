"""A new key as it is shown, once: the text, and the file that holds it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from services.consent_ui.resources import Resources
from services.consent_ui.views.permissions import PermissionLine, permission_lines
from shared.contracts.keys import KeyView


@dataclass(frozen=True, slots=True)
class NewKeyView:
    """A key in clear, for this one answer."""

    title: str
    app_name: str | None
    key_id: str
    content: str = field(repr=False)
    filename: str | None
    """``None`` where there is no file, only text to copy."""
    permissions: tuple[PermissionLine, ...]
    status_url: str
    old_key_note: str | None = None

    @property
    def rows(self) -> int:
        """How many lines a text field should show."""
        return rows_of(self.content)

    @property
    def download(self) -> str | None:
        """The file as a ``data:`` address: the browser saves it without asking the server again."""
        return None if self.filename is None else download_address(self.content)


def new_key_view(
    resources: Resources,
    key: KeyView,
    *,
    title: str,
    app_name: str | None,
    content: str,
    filename: str | None = None,
    old_key_note: str | None = None,
) -> NewKeyView:
    """The page that shows ``key``, whose text or file is ``content``."""
    return NewKeyView(
        title=title,
        app_name=app_name,
        key_id=key.key_id,
        content=content,
        filename=filename,
        permissions=permission_lines(resources.catalogue, key.permissions),
        status_url=f"{resources.settings.public_url}/api/v1/status",
        old_key_note=old_key_note,
    )


def download_address(content: str) -> str:
    """The content as a ``data:`` address of a type that no browser displays."""
    return "data:application/octet-stream;base64," + base64.b64encode(content.encode()).decode()


def rows_of(content: str) -> int:
    """How many lines a text field should show."""
    return min(max(content.count("\n") + 1, 2), 16)
