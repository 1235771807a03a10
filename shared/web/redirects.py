"""Where browsers are sent: to a client as it registered its address, and on through our own pages after a sign-in.

Nothing that a client registered is normalised on its way into a Location, nor on the way out. Where a person goes on
after signing in is a path of ours in a signed text that the browser carries: nothing is kept for it, and no step uses it
up, so that Back, a reload, a second tab and the way through *Sign up* all lead on.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from aiohttp import web

from shared.secret_tokens import keyed_digest, same_digest

HOME: Final = "/"
LONGEST_TARGET: Final = 12_000
"""In characters, so that the signed text fits into an address."""
_PURPOSE: Final = "return to"
_SIGNED: Final = re.compile(r"([0-9a-f]{64})\.([0-9A-Za-z_-]{1,16000})", re.ASCII)
# A path on our origin as a browser reads it: one slash, then neither slash nor backslash; only visible ASCII,
# since browsers drop tabs and line breaks before they look ("/\t/evil.example" becomes "//evil.example").
_TARGET: Final = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", re.ASCII)

_CONSENT: Final = {"/oauth/authorize": "client_id", "/oauth/request-auth": "clientID"}
_FILE_FLOW: Final = "/client-file-flow/"


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


def is_own_target(target: str) -> bool:
    """Whether this is a path (and query) on our own origin and cannot be read as anything else."""
    return len(target) <= LONGEST_TARGET and _TARGET.fullmatch(target) is not None


def sign_target(secrets: Sequence[bytes], target: str) -> str:
    """The text that leads to ``target`` (of ``is_own_target``); in it only letters, digits, ``.``, ``-`` and ``_``."""
    carried = base64.urlsafe_b64encode(target.encode("ascii", "replace")).decode().rstrip("=")
    return f"{keyed_digest(secrets[0], _PURPOSE, target)}.{carried}"


def read_target(secrets: Sequence[bytes], signed: str) -> str | None:
    """The target that one of ``secrets`` has signed; ``None`` for every other text."""
    found = _SIGNED.fullmatch(signed)
    if found is None:
        return None
    try:
        target = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    ours = any(same_digest(keyed_digest(secret, _PURPOSE, target), found[1]) for secret in secrets)
    return target if ours and is_own_target(target) else None


def waiting_client_id(target: str) -> str | None:
    """The id of the app whose request waits behind ``target``, as it was given; ``None`` where none does."""
    parts = urlsplit(target)
    if parts.path.startswith(_FILE_FLOW):
        return unquote(parts.path.removeprefix(_FILE_FLOW))
    name = _CONSENT.get(parts.path)
    return next((value for each, value in parse_qsl(parts.query) if each == name), None)
