"""A person's keys and connected apps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from services.consent_ui.display_names import initial, readable
from services.consent_ui.resources import Resources
from services.consent_ui.views.apps import Homepage, homepage_of
from services.consent_ui.views.moments import Moment, ago, day_of
from services.consent_ui.views.permissions import PermissionLine, permission_lines
from shared.api_key import masked
from shared.contracts.access import ConnectedApp
from shared.contracts.keys import KeyStatus, KeyView

STALE_MS: Final = 90 * 86_400_000
"""Unused for longer than this, the page advises to take it back."""
LIVE: Final[frozenset[KeyStatus]] = frozenset({"active", "paused"})
"""Of a key that can work now or be resumed."""


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One key of a list."""

    key_id: str
    name: str
    masked: str
    app_name: str | None
    status: KeyStatus
    permissions: tuple[PermissionLine, ...]
    used: frozenset[str]
    """Names of the permissions that a check has asked for."""
    created: Moment
    last_used: Moment | None
    expires: Moment | None
    stale: bool

    @property
    def live(self) -> bool:
        """Whether it can work now or be resumed."""
        return self.status in LIVE


@dataclass(frozen=True, slots=True)
class AppLine:
    """One connected app."""

    client_id: str
    name: str
    initial: str
    author: str
    homepage: Homepage | None
    permissions: tuple[PermissionLine, ...]
    first_granted: Moment
    last_used: Moment | None
    keys: int


@dataclass(frozen=True, slots=True)
class HomeView:
    """Everything that has access to the person's account."""

    apps: tuple[AppLine, ...]
    live_keys: tuple[KeyLine, ...]
    ended_keys: tuple[KeyLine, ...]


def home_view(resources: Resources, apps: Iterable[ConnectedApp], keys: Iterable[KeyView]) -> HomeView:
    """The person's home page."""
    app_list = tuple(apps)
    names = {app.client_id: app.name for app in app_list}
    lines = [key_line(resources, key, names) for key in keys]
    return HomeView(
        apps=tuple(app_line(resources, app) for app in app_list),
        live_keys=tuple(line for line in lines if line.live),
        ended_keys=tuple(line for line in lines if not line.live),
    )


def key_line(resources: Resources, key: KeyView, app_names: Mapping[str, str]) -> KeyLine:
    """One key as its owner sees it."""
    now = resources.clock.now()
    app_name = None if key.client_id is None else app_names.get(key.client_id, key.client_id)
    return KeyLine(
        key_id=key.key_id,
        name=readable(key.identifier),
        masked=masked(resources.settings.key_prefix, key.key_id),
        app_name=None if app_name is None else readable(app_name),
        status=key.status,
        permissions=permission_lines(resources.catalogue, key.permissions),
        used=frozenset(key.used_permissions),
        created=day_of(key.created_on),
        last_used=None if key.last_used_on is None else ago(key.last_used_on, now),
        expires=None if key.expires_on is None else day_of(key.expires_on),
        stale=now - max(key.created_on, key.last_used_on or 0) > STALE_MS,
    )


def app_line(resources: Resources, app: ConnectedApp) -> AppLine:
    """One connected app as the person sees it."""
    name = readable(app.name)
    now = resources.clock.now()
    return AppLine(
        client_id=app.client_id,
        name=name,
        initial=initial(name),
        author=readable(app.author_name),
        homepage=homepage_of(app.homepage),
        permissions=permission_lines(resources.catalogue, app.permissions),
        first_granted=day_of(app.first_granted_on),
        last_used=None if app.last_used_on is None else ago(app.last_used_on, now),
        keys=app.keys,
    )
