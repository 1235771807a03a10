"""An app as a person may know it: its name made safe, who made it, and who vouches for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from services.consent_ui.display_names import initial, readable, suspicion
from services.consent_ui.views.moments import Moment, ago
from shared.contracts.clients import ClientView

Trust = Literal["operator", "unverified", "self_registered"]


@dataclass(frozen=True, slots=True)
class Homepage:
    """A link to an app's own site: http(s) only, shown by its host in ASCII."""

    url: str
    host: str


@dataclass(frozen=True, slots=True)
class AppView:
    """The app that asks."""

    client_id: str
    name: str
    initial: str
    description: str | None
    author: str
    homepage: Homepage | None
    trust: Trust
    suspicion: str | None
    registered: Moment
    """Young apps deserve a second look."""


def app_view(client: ClientView, site_name: str, now: int) -> AppView:
    """What the pages show of a client at ``now``."""
    trust: Trust = (
        "operator" if client.by_operator else "self_registered" if client.self_registered else "unverified"
    )
    name = readable(client.name)
    return AppView(
        client_id=client.client_id,
        name=name,
        initial=initial(name),
        description=readable(client.description) if client.description else None,
        author=readable(client.author_name),
        homepage=homepage_of(client.homepage),
        trust=trust,
        suspicion=None if client.by_operator else suspicion(client.name, site_name),
        registered=ago(client.created_on, now),
    )


def homepage_of(url: str | None) -> Homepage | None:
    """The link, or ``None`` where it is no plain web address (auth_api checks too; here it becomes an href)."""
    if (
        url is None
        or not url.isascii()
        or not url.isprintable()
        or not url.startswith(("https://", "http://"))
    ):
        return None
    try:
        host = urlsplit(url).netloc
    except ValueError:
        return None
    return Homepage(url, host.lower()) if host and "@" not in host and "\\" not in url else None
