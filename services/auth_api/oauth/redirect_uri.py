"""Redirect URIs: what may be registered (RFC 8252 §7), and the comparison that decides where a code goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote_plus

from shared.host_names import is_host_name

LONGEST: Final = 2000
RESERVED_PARAMETERS: Final = frozenset(
    {"code", "state", "iss", "context", "error", "error_description", "error_uri"}
)
"""What we append ourselves; a registered copy of one would shadow ours (RFC 6749 §4.1.2, RFC 9207 §2)."""

_NO_URI_CHARACTER: Final = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY: Final = re.compile(r"[^:/?#]+://([^/?#]*)")
_WEB: Final = re.compile(r"https?://([^/?#]*)")
_HOST: Final = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")
_PRIVATE_SCHEME: Final = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+:/[^?#]*")
_DOT_SEGMENT: Final = re.compile(r"/(\.|%2[eE]){1,2}(/|$)")
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
# RFC 8252 §7.3 speaks of loopback addresses; `localhost` is a name, which something else may answer to (§8.3).
_LOOPBACK_ADDRESS: Final = re.compile(
    r"(?P<host>http://(?:127\.0\.0\.1|\[::1\]))(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>(?:[/?].*)?)",
    re.DOTALL,
)
_LARGEST_PORT: Final = 65_535


def match_redirect_uri(registered: Sequence[str], requested: str) -> str | None:
    """Where the answer goes: ``requested``, if it is one of ``registered`` byte for byte.

    For ``http://127.0.0.1`` and ``http://[::1]`` the port may differ (RFC 8252 §7.3). Nothing is parsed or
    normalised before the bytes were compared (RFC 9700 §2.1).
    """
    if requested in registered:
        return requested
    asked = _LOOPBACK_ADDRESS.fullmatch(requested)
    if asked is None or int(asked["port"] or 0) > _LARGEST_PORT:
        return None
    for uri in registered:
        known = _LOOPBACK_ADDRESS.fullmatch(uri)
        if known is not None and known.group("host", "rest") == asked.group("host", "rest"):
            return requested
    return None


def explain_mismatch(registered: Sequence[str], requested: str) -> str:
    """In what a refused redirect URI differs from the closest registered one, for the client's author."""
    if len(requested) > LONGEST:
        return f"redirect_uri differs: it is longer than {LONGEST} characters, and no registered one is"
    for uri in registered:
        for difference, normalise in _DIFFERENCES:
            if normalise(uri) == normalise(requested):
                return f"redirect_uri differs: {difference}"
    if any(requested.startswith(uri) for uri in registered):
        return "redirect_uri differs: something follows the registered one"
    return "redirect_uri is none of the registered ones"


def fault_of_redirect_uri(uri: str) -> str | None:
    """What forbids registering ``uri``, as a clause that follows its field's name; ``None`` where nothing does.

    An allow-list: https anywhere, http on the loopback host, or a private-use scheme in reverse-DNS form.
    """
    return next((fault for check in _CHECKS if (fault := check(uri)) is not None), None)


def _is_text(uri: str) -> str | None:
    # Before any parser sees it: urlsplit strips tabs and leading controls, and lets a backslash end the host.
    if not uri:
        return "must not be empty"
    if len(uri) > LONGEST:
        return f"must not be longer than {LONGEST} characters"
    if _NO_URI_CHARACTER.search(uri):
        return "must consist of the characters of a URI (ASCII, no spaces, controls, quotes or backslashes)"
    if _BAD_ESCAPE.search(uri):
        return "holds a % that two hexadecimal digits do not follow"
    return "must not hold a * (there are no wildcards)" if "*" in uri else None


def _has_no_fragment(uri: str) -> str | None:
    return "must not hold a fragment (#)" if "#" in uri else None


def _has_allowed_scheme(uri: str) -> str | None:
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return "must be absolute, with a scheme"
    if scheme[1] in ("https", "http"):
        return None if _WEB.match(uri) else f"must go on with // and a host after {scheme[1]}:"
    if _PRIVATE_SCHEME.match(uri):
        return None
    return "must be https, http on a loopback host, or a reverse-DNS private scheme (like com.example.app:/callback)"


def _has_no_user(uri: str) -> str | None:
    authority = _AUTHORITY.match(uri)
    return "must not hold a user name or password" if authority and "@" in authority[1] else None


def _has_plain_host(uri: str) -> str | None:
    web = _WEB.match(uri)
    if web is None:
        authority = _AUTHORITY.match(uri)
        bracketed = authority is not None and ("[" in authority[1] or "]" in authority[1])
        return "must hold no brackets before its path" if bracketed else None
    host = _HOST.fullmatch(web[1])
    if host is None or int(host["port"] or 0) > _LARGEST_PORT:
        return "must name a host and, if any, a port from 1 to 65535"
    if not host["host"].startswith("[") and not is_host_name(host["host"]):
        return "must name a well-formed host"
    if uri.startswith("http:") and host["host"] not in _LOOPBACK_HOSTS:
        return "may be http only on 127.0.0.1, [::1] or localhost; use https"
    return None


def _has_no_dot_segments(uri: str) -> str | None:
    path = uri.partition("?")[0]
    return "must not hold . or .. as a path segment" if _DOT_SEGMENT.search(path) else None


def _has_no_reserved_parameter(uri: str) -> str | None:
    for piece in re.split("[&;]", uri.partition("?")[2]):
        name = unquote_plus(piece.partition("=")[0]).lower()
        if name in RESERVED_PARAMETERS:
            return f"must not hold the query parameter {name}, which is ours to add"
    return None


_CHECKS: Final[tuple[Callable[[str], str | None], ...]] = (
    _is_text,
    _has_no_fragment,
    _has_allowed_scheme,
    _has_no_user,
    _has_plain_host,
    _has_no_dot_segments,
    _has_no_reserved_parameter,
)

_DIFFERENCES: Final[tuple[tuple[str, Callable[[str], str]], ...]] = (
    ("trailing slash", lambda uri: uri.rstrip("/")),
    ("upper and lower case", str.lower),
    ("http instead of https, or the reverse", lambda uri: uri.partition(":")[2]),
    ("its query", lambda uri: uri.partition("?")[0]),
    ("its fragment", lambda uri: uri.partition("#")[0]),
    ("white space around it", str.strip),
    ("the port", lambda uri: re.sub(r"^(https?://[^/?#:]+):\d+", r"\1", uri)),
    ("percent-encoding", unquote_plus),
)
