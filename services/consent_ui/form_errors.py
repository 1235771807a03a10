"""What is wrong with a form: a summary on top whose lines lead to the fields, and the same words beside each field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shared.contracts.clients import ClientFields
from shared.contracts.field_errors import FieldError
from shared.documents import public_name


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

_CONTROLS: Final = {public_name(name): name for name in ClientFields.model_fields} | {
    "redirectUri": "redirect_uris",
    "public": "client_type",
}
"""A field as the interface calls it → the id of its control."""
_SUBJECTS: Final = {
    "redirectUri": "The redirect address",
    "redirectUris": "The list of redirect addresses",
    "requestedPermissions": "The list of permissions",
    "apiKeyFormat": "The file template",
    "apiKeyFilename": "The file name",
    "webhookUri": "The webhook address",
    "public": "The kind of client",
}
"""Fields that are called otherwise on the page than in the interface."""


def client_form_errors(errors: Iterable[FieldError]) -> FormErrors:
    """auth_api's errors, whose details continue a field's name, as sentences."""
    return FormErrors(tuple(_line(error) for error in errors))


def _line(error: FieldError) -> FormError:
    name, _, index = error.field.partition(".")
    control = _CONTROLS.get(name, "")
    subject = _SUBJECTS.get(name, f"The {control or 'form'}")
    if name == "redirectUris" and index.isdigit():
        subject = f"Redirect address {int(index) + 1}"
    elif index.isdigit():
        subject = f"{subject} (entry {int(index) + 1})"
    return FormError(control, f"{subject} {error.detail.rstrip('.')}.")
