"""Usernames and passwords as they arrive: a JSON object from a program, or a form from our pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web
from pydantic import Field

from services.auth_api.accounts.passwords import LONGEST_PASSWORD
from services.auth_api.accounts.service import typed_username
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.sent_forms import SentForm, form_fields, note_form, read_json_or_pairs
from shared.contracts.field_errors import FieldError
from shared.documents import Body
from shared.web.body import refused_fields
from shared.web.redirects import HOME, read_target, sign_target


class CredentialsBody(Body):
    """The JSON body that signs a person in or up."""

    username: str
    password: str


class _CredentialsForm(CredentialsBody):
    """The form that does."""

    return_to: str = Field(default="", alias="continue")


@dataclass(frozen=True, slots=True)
class PersonCredentials:
    """What a person typed."""

    username: str
    password: str = field(repr=False)
    from_form: bool
    """Our page posted it: the answer is a redirect, to a page again where something is wrong."""
    return_to: str = HOME
    """The path of ours on which a form goes on: what the pages signed, the home page for everything else."""


async def read_person_credentials(request: web.Request) -> PersonCredentials:
    """The username and password of the body.

    Raises:
        Problem: 415, 413, 408, or 400 naming the field that is missing, repeated, unknown, or of a wrong type; for
            JSON also the password that is too long to be one. Nothing was hashed.
    """
    body = await read_json_or_pairs(request, CredentialsBody)
    if isinstance(body, list):
        secrets = request.app[RESOURCES].settings.secrets
        given = form_fields(body, _CredentialsForm)
        return_to = read_target(secrets, given.return_to) or HOME
        query = [] if return_to == HOME else [("continue", sign_target(secrets, return_to))]
        username = typed_username(given.username)
        note_form(request, SentForm(query, username))
        return PersonCredentials(username, given.password, from_form=True, return_to=return_to)
    if len(body.password) > LONGEST_PASSWORD:
        detail = f"must be at most {LONGEST_PASSWORD} characters long"
        raise refused_fields([FieldError(field="password", detail=detail)])
    return PersonCredentials(typed_username(body.username), body.password, from_form=False)
