"""What templates do with the contracts that they print: names made safe, times and permissions in words."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from services.consent_ui.display_names import homepage_of, initial, readable, suspicion
from services.consent_ui.moments import ago, date_field, day_of, minute_of, time_of
from services.consent_ui.redirect_target import describe_redirect
from services.consent_ui.user_agents import browser_name
from shared.api_key import masked
from shared.clock import Clock
from shared.contracts.keys import KeyView
from shared.permissions import Catalogue, KindOfAccess, Permission
from shared.settings import Settings

STALE_MS: Final = 90 * 86_400_000
"""A key that was not used for longer than this had better be taken back."""
_GROUPS: Final[tuple[tuple[KindOfAccess, str], ...]] = (
    ("read", "See"),
    ("change", "Add and change"),
    ("delete", "Delete for good"),
)


class PermissionGroup(NamedTuple):
    """The permissions of one kind of access."""

    access: KindOfAccess
    title: str
    lines: tuple[Permission, ...]


def make_filters(
    settings: Settings, catalogue: Catalogue, clock: Clock
) -> Mapping[str, Callable[[Any], Any]]:
    """The filters by their names; whatever a stranger has named is printed through ``readable`` alone."""

    def is_stale(key: KeyView) -> bool:
        return clock.now() - max(key.created_on, key.last_used_on or 0) > STALE_MS

    return {
        "readable": readable,
        "person": lambda user: readable(user.display_name) if user.display_name else user.username,
        "monogram": lambda name: initial(readable(name)),
        "browser_name": browser_name,
        "suspicion": lambda name: suspicion(name, settings.site_name),
        "homepage": homepage_of,
        "redirect_target": describe_redirect,
        "masked": lambda key_id: masked(settings.key_prefix, key_id),
        "permissions": lambda names: permission_lines(catalogue, names),
        "permission_groups": lambda names: permission_groups(catalogue, names),
        "day": day_of,
        "date_field": date_field,
        "minute": minute_of,
        "time": time_of,
        "ago": lambda on: ago(on, clock.now()),
        "is_ahead": lambda on: on > clock.now(),
        "is_stale": is_stale,
        "download": download_address,
        "rows": rows_of,
    }


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


def download_address(content: str) -> str:
    """The content as a ``data:`` address of a type that no browser displays: saved without asking the server again."""
    return "data:application/octet-stream;base64," + base64.b64encode(content.encode()).decode()


def rows_of(content: str) -> int:
    """How many lines a text field should show."""
    return min(max(content.count("\n") + 1, 2), 16)
