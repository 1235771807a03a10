"""Permissions in words: grouped by what they let an app do, deletion last."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from shared.permissions import Access, Catalogue, Permission

_GROUPS: Final[tuple[tuple[Access, str], ...]] = (
    ("read", "See"),
    ("change", "Add and change"),
    ("delete", "Delete for good"),
)


@dataclass(frozen=True, slots=True)
class PermissionLine:
    """One permission of a list."""

    name: str
    title: str
    sentence: str
    access: Access
    is_new: bool = False
    """The person has not allowed it to this app before, though they have allowed others."""


@dataclass(frozen=True, slots=True)
class PermissionGroup:
    """The permissions of one kind of access."""

    access: Access
    title: str
    lines: tuple[PermissionLine, ...]


def permission_lines(
    catalogue: Catalogue, names: Iterable[str], new: Collection[str] = ()
) -> tuple[PermissionLine, ...]:
    """The permissions as they are told to people, in the given order."""
    return tuple(_line(catalogue.get(name), name, is_new=name in new) for name in names)


def permission_groups(
    catalogue: Catalogue, names: Iterable[str], new: Collection[str] = ()
) -> tuple[PermissionGroup, ...]:
    """The permissions by kind of access, without empty groups."""
    lines = permission_lines(catalogue, names, new)
    groups = (
        PermissionGroup(access, title, tuple(line for line in lines if line.access == access))
        for access, title in _GROUPS
    )
    return tuple(group for group in groups if group.lines)


def _line(permission: Permission | None, name: str, *, is_new: bool) -> PermissionLine:
    if permission is None:
        # An older key may hold what the site's catalogue no longer explains.
        return PermissionLine(name, name, "This site no longer describes this permission.", "change", is_new)
    return PermissionLine(name, permission.title, permission.sentence, permission.access, is_new)
