"""What is wrong with a form: a summary on top whose lines lead to the fields, and the same words beside each field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.contracts.clients import FieldError


@dataclass(frozen=True, slots=True)
class FormError:
    """One line of the summary."""

    field: str
    """The id of the control; empty where it is about the whole form."""
    sentence: str


@dataclass(frozen=True, slots=True)
class FormErrors:
    """All that is wrong with one form."""

    lines: tuple[FormError, ...] = ()

    def of(self, field: str) -> tuple[str, ...]:
        """The sentences about one field."""
        return tuple(line.sentence for line in self.lines if line.field == field)


NO_ERRORS: Final = FormErrors()

_CONTROLS: Final[Mapping[str, tuple[str, str]]] = {
    "name": ("name", "The name"),
    "redirectUri": ("redirect_uris", "The redirect address"),
    "redirectUris": ("redirect_uris", "The list of redirect addresses"),
    "requestedPermissions": ("requested_permissions", "The list of permissions"),
    "apiKeyFormat": ("api_key_format", "The file template"),
    "apiKeyFilename": ("api_key_filename", "The file name"),
    "webhookUri": ("webhook_uri", "The webhook address"),
    "homepage": ("homepage", "The homepage"),
    "description": ("description", "The description"),
    "public": ("client_type", "The kind of client"),
}


def client_form_errors(errors: Iterable[FieldError]) -> FormErrors:
    """auth_api's errors, whose details continue a field's name, as sentences."""
    return FormErrors(tuple(_line(error) for error in errors))


def _line(error: FieldError) -> FormError:
    name, _, index = error.field.partition(".")
    control, subject = _CONTROLS.get(name, ("", "The form"))
    if name == "redirectUris" and index.isdigit():
        subject = f"Redirect address {int(index) + 1}"
    elif index.isdigit():
        subject = f"{subject} (entry {int(index) + 1})"
    return FormError(control, f"{subject} {error.detail.rstrip('.')}.")
