"""Where an answer goes, told to the person in ASCII and to the browser as sources of ``form-action``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_WEB: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]+))?(?:[/?]|$)"
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ADDRESS: Final = re.compile(r"\[.*\]|[0-9.]+")
_LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})

Kind = Literal["site", "computer", "program"]


@dataclass(frozen=True, slots=True)
class RedirectTarget:
    """One validated redirect URI as the consent page needs it."""

    kind: Kind
    """``site``: a host on the web. ``computer``: a program listening on loopback. ``program``: a private scheme."""
    shown: str
    """The host (ASCII, so that look-alikes show as ``xn--…``) or the scheme."""
    form_targets: tuple[str, ...]
    """CSP sources, see ``describe_redirect``."""


def describe_redirect(uri: str) -> RedirectTarget:
    """What to show and allow for a redirect URI that auth_api has validated.

    The first source is the URI's own origin or scheme. For web addresses its scheme follows: Chromium applies
    ``form-action`` to every further redirect too, and a client's callback usually sends the person on to another of
    its hosts. CSP has no syntax for IPv6 hosts, so there the scheme alone has to do.
    """
    web = _WEB.match(uri)
    if web is None:
        scheme = _SCHEME.match(uri)
        shown = scheme[0].lower() if scheme else ""
        return RedirectTarget("program", shown, (shown,) if shown else ())
    host = web["host"].lower()
    authority = f"{host}:{web['port']}" if web["port"] else host
    nameable = host == "127.0.0.1" or not _ADDRESS.fullmatch(host)
    own = (f"{web['scheme']}://{authority}",) if nameable else ()
    if host in _LOOPBACK and web["scheme"] == "http":
        onward = ("http://127.0.0.1:*", "http://localhost:*", "https:") if nameable else ("http:",)
        return RedirectTarget("computer", authority, (*own, *onward))
    return RedirectTarget("site", authority, (*own, "https:"))
