"""Where an answer goes, as the person reads it, in ASCII."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_WEB: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?P<port>:[0-9]+)?(?:[/?]|$)"
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})

Kind = Literal["site", "computer", "program"]


@dataclass(frozen=True, slots=True)
class RedirectTarget:
    """One validated redirect URI as the consent page needs it."""

    kind: Kind
    """``site``: a host on the web. ``computer``: a program listening on loopback. ``program``: a private scheme."""
    shown: str
    """The host (ASCII, so that look-alikes show as ``xn--…``) or the scheme."""


def describe_redirect(uri: str) -> RedirectTarget:
    """What to show of a redirect URI that auth_api has validated."""
    web = _WEB.match(uri)
    if web is None:
        scheme = _SCHEME.match(uri)
        return RedirectTarget("program", scheme[0].lower() if scheme else "")
    host = web["host"].lower()
    is_loopback = host in _LOOPBACK and web["scheme"] == "http"
    return RedirectTarget("computer" if is_loopback else "site", host + (web["port"] or ""))
