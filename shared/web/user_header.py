"""The person whom the proxy in front names in a header of each request (`USER_HEADER`).

It is believed from the listed peers alone, by the address of the socket: whoever reaches a service past the proxy could
write anything.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

import structlog

from shared.settings import Settings
from shared.web.failures import Problem

if TYPE_CHECKING:  # the commands on accounts know of sessions and not of HTTP
    from aiohttp import web

BY_HEADER: Final = "/login/site/header"
"""Where auth_api begins a session of whom the header names."""
LONGEST_VALUE: Final = 255
_WRONG: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff,]")

_log = structlog.get_logger("latchkey.http")


def named_person(request: web.BaseRequest, settings: Settings) -> str | None:
    """The site's own id of the person whom the proxy names; ``None`` where it names nobody, or none is configured.

    Raises:
        Problem: 403, logged: it comes from another peer, more than once, or is no single id.
    """
    if settings.user_header is None:
        return None
    values = [value for value in request.headers.getall(settings.user_header, ()) if value.strip()]
    if not values:
        return None
    wrong = _what_is_wrong(request, settings, values)
    if wrong is not None:
        _log.warning("user_header_refused", header=settings.user_header, peer=request.remote, reason=wrong)
        raise Problem(403, f"The header {settings.user_header} is not believed: {wrong}.")
    return values[0].strip(" ")


def _what_is_wrong(request: web.BaseRequest, settings: Settings, values: list[str]) -> str | None:
    if not _is_listed(request.remote or "", settings.user_header_peers):
        return "it comes from a peer that is not listed"
    if len(values) > 1:
        return "it is there more than once"
    if len(values[0]) > LONGEST_VALUE or _WRONG.search(values[0]) is not None:
        return f"it is no single id of at most {LONGEST_VALUE} characters"
    spelt = (settings.user_header or "").lower()
    alike = {name.lower() for name in request.headers if _plain(name) == _plain(spelt)}
    if alike != {spelt}:
        return "another spelling of it is there beside it"
    return None


def _plain(name: str) -> str:
    """As servers behind CGI and its kin read a header's name: there `-` and `_` are the same."""
    return name.lower().replace("_", "-")


@lru_cache(maxsize=1024)
def _is_listed(peer: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)
