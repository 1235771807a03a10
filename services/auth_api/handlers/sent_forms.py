"""What people type, as it arrives: a JSON object from a program, or a form from one of our pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from shared.contracts.field_errors import FieldError
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

BodyT = TypeVar("BodyT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class SentForm:
    """A form that one of our pages posted and that could be read: where something is wrong, its page says so."""

    query: Sequence[tuple[str, str]] = ()
    """What the page needs to be about the same again."""
    username: str = ""
    """What was typed as one, for the page to show again; never a password."""


_SENT: Final = web.RequestKey("sent form", SentForm)


def sent_form(request: web.Request) -> SentForm | None:
    """The form that the request brought, once it was read."""
    return request.get(_SENT)


def note_form(request: web.Request, form: SentForm) -> None:
    """From here on what is wrong with the request is answered with the form's page."""
    request[_SENT] = form


async def read_json_or_pairs(request: web.Request, model: type[BodyT]) -> BodyT | Pairs:
    """A program's JSON as ``model``, or the pairs of a form.

    Raises:
        Problem: 415, 413, 408, or 400 saying what is malformed.
    """
    media_type = require_media_type(request, JSON, FORM)
    raw = await read_body(request)
    return parse_pairs(raw, "body") if media_type == FORM else validated(model, parse_json_object(raw))


def form_fields(pairs: Pairs, model: type[BodyT]) -> BodyT:
    """The form as ``model``.

    Raises:
        Problem: 400 naming the field that is missing, repeated or unknown.
    """
    times = Counter(name for name, _ in pairs)
    repeated = [FieldError(field=name, detail="is there twice") for name in times if times[name] > 1]
    if repeated:
        raise refused_fields(repeated)
    return validated(model, dict(pairs))
