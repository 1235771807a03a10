"""Usernames and passwords as they arrive: a JSON object from a program, or a form from our pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from pydantic import Field

from services.auth_api.accounts.passwords import LONGEST_PASSWORD
from services.auth_api.accounts.service import typed_username
from services.auth_api.handlers.application import RESOURCES
from shared.contracts.field_errors import FieldError
from shared.documents import Body
from shared.return_to import HOME, read_target
from shared.web.body import (
    FORM,
    JSON,
    Pairs,
    parse_json_object,
    parse_pairs,
    read_body,
    refused_fields,
    require_media_type,
    validated,
)

_FORM_FIELDS: Final = ("username", "password", "continue")


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


_TYPED: Final = web.RequestKey("typed", PersonCredentials)


def typed_in_a_form(request: web.Request) -> PersonCredentials | None:
    """What a form of ours brought, once it was read: its page says what is wrong with it."""
    return request.get(_TYPED)


async def read_person_credentials(request: web.Request) -> PersonCredentials:
    """The username and password of the body.

    Raises:
        Problem: 415, 413, 408, or 400 naming the field that is missing, repeated, unknown, or of a wrong type; for
            JSON also the password that is too long to be one. Nothing was hashed.
    """
    media_type = require_media_type(request, JSON, FORM)
    raw = await read_body(request)
    if media_type == FORM:
        request[_TYPED] = _from_form(parse_pairs(raw, "body"), request.app[RESOURCES].settings.secrets)
        return request[_TYPED]
    body = validated(CredentialsBody, parse_json_object(raw))
    if len(body.password) > LONGEST_PASSWORD:
        detail = f"must be at most {LONGEST_PASSWORD} characters long"
        raise refused_fields([FieldError(field="password", detail=detail)])
    return PersonCredentials(typed_username(body.username), body.password, from_form=False)


def _from_form(pairs: Pairs, secrets: Sequence[bytes]) -> PersonCredentials:
    names = [name for name, _ in pairs]
    repeated = [name for name in _FORM_FIELDS if names.count(name) > 1]
    if repeated:
        raise refused_fields(FieldError(field=name, detail="is there twice") for name in repeated)
    given = validated(_CredentialsForm, dict(pairs))
    return_to = read_target(secrets, given.return_to) or HOME
    return PersonCredentials(
        typed_username(given.username), given.password, from_form=True, return_to=return_to
    )
