"""Redirects: nothing that a client registered is normalised on its way into a Location, nor on the way out."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web


def see_other(location: str) -> web.Response:
    """303 with ``location`` byte for byte (aiohttp's own exceptions re-normalise it); never 307, which re-posts."""
    return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})


def append_parameters(uri: str, parameters: Iterable[tuple[str, str]]) -> str:
    """``uri`` byte for byte, with ``parameters`` added to its query (RFC 6749 §4.1.2).

    Values are percent-encoded from UTF-8 so that a client decodes what it sent; only unreserved characters
    (RFC 3986 §2.3) stay bare.
    """
    added = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters)
    if not added:
        return uri
    if "?" not in uri:
        return f"{uri}?{added}"
    separator = "" if uri.endswith(("?", "&")) else "&"
    return f"{uri}{separator}{added}"
