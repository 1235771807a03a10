"""Who is calling: the socket's address, or what a trusted proxy says it is."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from aiohttp import web

from shared.settings import Settings


def peer_of(request: web.BaseRequest, settings: Settings) -> str:
    """The address to count against: the socket's peer, or with ``TRUSTED_PROXIES`` = n the n-th hop from the right.

    What a client itself writes into ``X-Forwarded-For`` lies left of that and is never believed. IPv6 peers count by
    their /64, the smallest block one person is given.
    """
    address = request.remote or "unknown"
    if settings.trusted_proxies:
        hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        if len(hops) >= settings.trusted_proxies:
            address = hops[-settings.trusted_proxies].strip() or address
    return _counted(address)


@lru_cache(maxsize=4096)
def _counted(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)
