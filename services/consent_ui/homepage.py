"""The link to an app's own site: an address that a stranger typed becomes one only where it is plainly of the web."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Homepage:
    """A link: http(s) only, shown by its host in ASCII."""

    url: str
    host: str


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
