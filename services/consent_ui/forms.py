"""Reading the form of one of our pages: from our origin, with the token of this session and form, each field once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import session_of
from shared.web.body import read_form
from shared.web.failures import Problem
from shared.web.origin import require_same_origin

TOKEN_FIELD: Final = "csrf"  # noqa: S105 - a field's name


@dataclass(frozen=True, slots=True)
class PageForm:
    """The fields of a form, as they were sent."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """The value of a field, without surrounding white space; empty where it is absent.

        Raises:
            Problem: 400, the field is there twice.
        """
        return self.text(name).strip()

    def text(self, name: str) -> str:
        """The value of a field as typed, with plain line feeds (browsers send CR LF, whatever was typed)."""
        given = self.values.get(name, ())
        if len(given) > 1:
            raise Problem(400, f"The field {name} was sent twice.")
        return given[0].replace("\r\n", "\n") if given else ""

    def optional(self, name: str) -> str | None:
        """The value of a field, or ``None`` where it is empty."""
        return self.one(name) or None

    def many(self, name: str) -> tuple[str, ...]:
        """The values of a field that may be there several times, like the boxes of a list."""
        return tuple(self.values.get(name, ()))

    def lines(self, name: str) -> tuple[str, ...]:
        """The lines of a text field that are not empty."""
        return tuple(line for line in map(str.strip, self.text(name).split("\n")) if line)


async def read_page_form(request: web.Request, form: str, *, id_field: str | None = None) -> PageForm:
    """The form called ``form`` (with ``id_field``: of the thing whose id that field holds), proven to be ours.

    Raises:
        Problem: 403 where another site or another session made it; 400, 413 or 415 where it is no well-made form.
    """
    resources = request.app[RESOURCES]
    require_same_origin(request, resources.settings)
    values: dict[str, list[str]] = {}
    for name, value in await read_form(request):
        values.setdefault(name, []).append(value)
    fields = PageForm(values)
    session = session_of(request)
    name = form if id_field is None else f"{form} {fields.one(id_field)}"
    if session is None or not resources.csrf.accepts(session, name, fields.one(TOKEN_FIELD)):
        raise Problem(403, "The form does not belong to this sign-in.", code="stale_form")
    return fields
