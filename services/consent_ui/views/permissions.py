"""Permissions in words: grouped by what they let an app do, deletion last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from shared.permissions import Access, Catalogue, Permission

_GROUPS: Final[tuple[tuple[Access, str], ...]] = (
    ("read", "See"),
    ("change", "Add and change"),
    ("delete", "Delete for good"),
)


class PermissionGroup(NamedTuple):
    """The permissions of one kind of access."""

    access: Access
    title: str
    lines: tuple[Permission, ...]


def permission_lines(catalogue: Catalogue, names: Iterable[str]) -> tuple[Permission, ...]:
    """The permissions as they are explained to people, in the given order.

    An older key may hold what the site's catalogue no longer explains.
    """
    gone = "This site no longer describes this permission."
    return tuple(catalogue.get(name) or Permission(name, name, gone, "change") for name in names)


def permission_groups(catalogue: Catalogue, names: Iterable[str]) -> tuple[PermissionGroup, ...]:
    """The permissions by kind of access, without empty groups."""
    lines = permission_lines(catalogue, names)
    groups = (
        PermissionGroup(access, title, tuple(line for line in lines if line.access == access))
        for access, title in _GROUPS
    )
    return tuple(group for group in groups if group.lines)
