"""What an author may say of a client: the rules of registration, pure; each fault names the public field."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from services.auth_api.oauth.redirect_uri import fault_of_redirect_uri
from shared.contracts.clients import ClientFields
from shared.contracts.field_errors import MOST_NAMED, FieldError
from shared.key_file import filename_problem, template_problem
from shared.plain_text import is_plain
from shared.web.public_address import fault_of_address, fault_of_web_address

SHORTEST_NAME: Final = 3
LONGEST_NAME: Final = 80
MOST_REDIRECT_URIS: Final = 10
LONGEST_DESCRIPTION: Final = 1_000
CHOSEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{3,64}", re.ASCII)
"""An id that an operator may choose."""

_MOST_COMPOSED: Final = 4
"""Characters that composing may make one of (UAX #15): what is longer than so many times a limit is longer anyway."""
_DECEIVES: Final = "must not hold control, invisible or direction-turning characters"


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What one site allows and another does not."""

    permissions: Collection[str]
    """The names of its catalogue."""
    private_targets: bool
    """Whether webhooks may lead to inner hosts (``PRIVATE_TARGETS``)."""


FieldCheck = Callable[[ClientFields, SiteRules], Iterator[FieldError]]


def check_client_fields(
    fields: ClientFields, catalogue: Collection[str], *, private_targets: bool
) -> list[FieldError]:
    """Everything that is wrong with a registration, in the order of the fields; empty where nothing is.

    Args:
        fields: as given, unchecked.
        catalogue: the names of the site's permissions.
        private_targets: whether the operator lets webhooks lead to inner hosts.
    """
    site = SiteRules(catalogue, private_targets)
    return [error for check in _CHECKS for error in check(fields, site)]


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


def _name(fields: ClientFields, _site: SiteRules) -> Iterator[FieldError]:
    name = fields.name
    if name is None:
        yield FieldError(field="name", detail="is required")
    elif not SHORTEST_NAME <= len(name) <= LONGEST_NAME:
        yield FieldError(field="name", detail=f"must be {SHORTEST_NAME} to {LONGEST_NAME} characters long")
    elif not is_plain(name):
        yield FieldError(field="name", detail=_DECEIVES)


def _redirect_uris(fields: ClientFields, _site: SiteRules) -> Iterator[FieldError]:
    if len(fields.redirect_uris) > MOST_REDIRECT_URIS:
        yield FieldError(field="redirectUris", detail=f"must be at most {MOST_REDIRECT_URIS}")
        return
    for index, uri in enumerate(fields.redirect_uris):
        fault = fault_of_redirect_uri(uri)
        if fault is None and uri in fields.redirect_uris[:index]:
            fault = "is there twice"
        if fault is not None:
            yield FieldError(field=f"redirectUris.{index}", detail=fault)


def _requested_permissions(fields: ClientFields, site: SiteRules) -> Iterator[FieldError]:
    return permission_errors("requestedPermissions", fields.requested_permissions, site.permissions)


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


def _key_file(fields: ClientFields, _site: SiteRules) -> Iterator[FieldError]:
    filename, template = fields.api_key_filename, fields.api_key_format
    problem = None if filename is None else filename_problem(filename)
    if problem is not None:
        yield FieldError(field="apiKeyFilename", detail=problem)
    if template is not None:
        fault = template_problem(template, None if problem else filename)
        if fault is not None:
            yield FieldError(field="apiKeyFormat", detail=fault)


def _addresses(fields: ClientFields, site: SiteRules) -> Iterator[FieldError]:
    if fields.webhook_uri is not None:
        fault = fault_of_address(fields.webhook_uri, private_targets=site.private_targets)
        if fault is not None:
            yield FieldError(field="webhookUri", detail=fault)
    if fields.homepage is not None:
        fault = fault_of_web_address(fields.homepage, ("https", "http"))
        if fault is not None:
            yield FieldError(field="homepage", detail=fault)


def _description(fields: ClientFields, _site: SiteRules) -> Iterator[FieldError]:
    text = fields.description or ""
    if len(text) > LONGEST_DESCRIPTION:
        yield FieldError(field="description", detail=f"must be at most {LONGEST_DESCRIPTION} characters long")
    elif not is_plain(text.replace("\r\n", " ").replace("\n", " ")):
        yield FieldError(field="description", detail=_DECEIVES)


_CHECKS: Final[tuple[FieldCheck, ...]] = (
    _name,
    _redirect_uris,
    _requested_permissions,
    _key_file,
    _addresses,
    _description,
)
