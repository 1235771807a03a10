"""What an author may say of a client: the rules of registration, pure; each fault names the public field."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from services.auth_api.oauth.redirect_uri import fault_of_redirect_uri
from shared.contracts.clients import ClientFields
from shared.contracts.field_errors import MOST_NAMED, FieldError
from shared.host_names import is_host_name
from shared.key_file import filename_problem, template_problem
from shared.plain_text import is_plain

SHORTEST_NAME: Final = 3
LONGEST_NAME: Final = 80
MOST_REDIRECT_URIS: Final = 10
LONGEST_DESCRIPTION: Final = 1_000
LONGEST_URL: Final = 2_000
CHOSEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{3,64}", re.ASCII)
"""An id that an operator may choose."""

_URL_TEXT: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)
_MOST_COMPOSED: Final = 4
"""Characters that composing may make one of (UAX #15): what is longer than so many times a limit is longer anyway."""
_DECEIVES: Final = "must not hold control, invisible or direction-turning characters"

FieldCheck = Callable[[ClientFields, Collection[str]], Iterator[FieldError]]


def check_client_fields(fields: ClientFields, catalogue: Collection[str]) -> list[FieldError]:
    """Everything that is wrong with a registration, in the order of the fields; empty where nothing is.

    Args:
        fields: as given, unchecked.
        catalogue: the names of the site's permissions.
    """
    return [error for check in _CHECKS for error in check(fields, catalogue)]


def tidied(fields: ClientFields) -> ClientFields:
    """The fields with the name and description composed, and without white space around them.

    What is too long for its field in any case stays decomposed: marks are put in order in time that grows with the
    square of their number.
    """
    texts = {
        "name": _composed(fields.name, LONGEST_NAME),
        "description": _composed(fields.description, LONGEST_DESCRIPTION),
    }
    return fields.model_copy(update=texts)


def _composed(text: str | None, longest: int) -> str | None:
    bare = text and text.strip()
    if not bare or len(bare) > _MOST_COMPOSED * longest:
        return bare
    return unicodedata.normalize("NFC", bare)


def _name(fields: ClientFields, _catalogue: Collection[str]) -> Iterator[FieldError]:
    name = fields.name
    if name is None:
        yield FieldError(field="name", detail="is required")
    elif not SHORTEST_NAME <= len(name) <= LONGEST_NAME:
        yield FieldError(field="name", detail=f"must be {SHORTEST_NAME} to {LONGEST_NAME} characters long")
    elif not is_plain(name):
        yield FieldError(field="name", detail=_DECEIVES)


def _redirect_uris(fields: ClientFields, _catalogue: Collection[str]) -> Iterator[FieldError]:
    if len(fields.redirect_uris) > MOST_REDIRECT_URIS:
        yield FieldError(field="redirectUris", detail=f"must be at most {MOST_REDIRECT_URIS}")
        return
    for index, uri in enumerate(fields.redirect_uris):
        fault = fault_of_redirect_uri(uri)
        if fault is None and uri in fields.redirect_uris[:index]:
            fault = "is there twice"
        if fault is not None:
            yield FieldError(field=f"redirectUris.{index}", detail=fault)


def _requested_permissions(fields: ClientFields, catalogue: Collection[str]) -> Iterator[FieldError]:
    return permission_errors("requestedPermissions", fields.requested_permissions, catalogue)


def permission_errors(
    field: str, permissions: Sequence[str], catalogue: Collection[str]
) -> Iterator[FieldError]:
    """What is wrong with a list of permissions: empty, unknown, repeated; the first errors only."""
    return islice(_permission_errors(field, permissions, catalogue), MOST_NAMED + 1)


def _permission_errors(
    field: str, permissions: Sequence[str], catalogue: Collection[str]
) -> Iterator[FieldError]:
    if not permissions:
        yield FieldError(field=field, detail="must name at least one permission")
    seen = set()
    for index, permission in enumerate(permissions):
        if permission not in catalogue:
            known = ", ".join(catalogue)
            yield FieldError(field=f"{field}.{index}", detail=f"is no permission of this site ({known})")
        elif permission in seen:
            yield FieldError(field=f"{field}.{index}", detail="is there twice")
        seen.add(permission)


def _key_file(fields: ClientFields, _catalogue: Collection[str]) -> Iterator[FieldError]:
    filename, template = fields.api_key_filename, fields.api_key_format
    problem = None if filename is None else filename_problem(filename)
    if problem is not None:
        yield FieldError(field="apiKeyFilename", detail=problem)
    if template is not None:
        fault = template_problem(template, None if problem else filename)
        if fault is not None:
            yield FieldError(field="apiKeyFormat", detail=fault)


def _addresses(fields: ClientFields, _catalogue: Collection[str]) -> Iterator[FieldError]:
    if (webhook := fields.webhook_uri) is not None:
        fault = _url_fault(webhook, ("https",)) or _address_fault(webhook)
        if fault is not None:
            yield FieldError(field="webhookUri", detail=fault)
    if fields.homepage is not None:
        fault = _url_fault(fields.homepage, ("https", "http"))
        if fault is not None:
            yield FieldError(field="homepage", detail=fault)


def _description(fields: ClientFields, _catalogue: Collection[str]) -> Iterator[FieldError]:
    text = fields.description or ""
    if len(text) > LONGEST_DESCRIPTION:
        yield FieldError(field="description", detail=f"must be at most {LONGEST_DESCRIPTION} characters long")
    elif not is_plain(text.replace("\r\n", " ").replace("\n", " ")):
        yield FieldError(field="description", detail=_DECEIVES)


def _url_fault(url: str, schemes: tuple[str, ...]) -> str | None:
    """What is wrong with a web address that pages link to or that we call; looked at before any parser is."""
    beginnings = tuple(f"{scheme}://" for scheme in schemes)
    if len(url) > LONGEST_URL:
        return f"must be at most {LONGEST_URL} characters long"
    if not _URL_TEXT.fullmatch(url) or not url.startswith(beginnings):
        return f"must begin with {' or '.join(beginnings)} and hold no spaces, quotes or backslashes"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "must name a well-formed host and port"
    if "@" in parts.netloc:
        return "must not hold a user name or password"
    if port == 0 or not (is_host_name(host) or _literal_address(host)):
        return "must name a well-formed host and port"
    return None


def _address_fault(url: str) -> str | None:
    """Refuses what plainly is no public host; what a name resolves to is checked whenever it is called."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    address = _literal_address(host)
    last_label = host.rpartition(".")[2]
    if address is not None:
        public = address.is_global and not address.is_multicast and not _is_translated(address)
    else:
        public = (
            "." in host and last_label not in _LOCAL_NAMES and not re.fullmatch(r"0[xX].*|\d+", last_label)
        )
    return None if public else "must name a public host"


_LOCAL_NAMES: Final = frozenset({"localhost", "local", "internal"})
# What `ipaddress` of Python 3.11 calls global though it leads inside: NAT64, site-local, 6to4, Teredo.
_TRANSLATED: Final = tuple(
    map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "fec0::/10", "2002::/16", "2001::/32"))
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _literal_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_translated(address: Address) -> bool:
    if not isinstance(address, ipaddress.IPv6Address):
        return False
    return address.ipv4_mapped is not None or any(address in network for network in _TRANSLATED)


_CHECKS: Final[tuple[FieldCheck, ...]] = (
    _name,
    _redirect_uris,
    _requested_permissions,
    _key_file,
    _addresses,
    _description,
)
