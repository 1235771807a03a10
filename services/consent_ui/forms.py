"""Reading the form of one of our pages: from our origin, with the token of this session and form, each field once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.pages import OVERLAPS
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import required_session, session_of
from shared.plain_text import is_visible
from shared.web.body import read_form
from shared.web.cookies import require_same_origin
from shared.web.failures import Problem

TOKEN_FIELD: Final = "csrf"  # noqa: S105 - a field's name
LONGEST_NAME: Final = 80
WRONG_NAME: Final = f"A name has 1 to {LONGEST_NAME} visible characters."


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

    def overlap(self) -> int:
        """The seconds that an old secret or key is to work on.

        Raises:
            Problem: 400, they are none of ``OVERLAPS``.
        """
        chosen = self.one("overlap")
        if chosen not in map(str, OVERLAPS):
            raise Problem(400, "The form does not say when the old one ends.")
        return int(chosen)

    def lines(self, name: str) -> tuple[str, ...]:
        """The lines of a text field that are not empty."""
        return tuple(line for line in map(str.strip, self.text(name).split("\n")) if line)


async def read_own_form(request: web.Request) -> PageForm:
    """The fields of a form that a page of ours sent; whether it was shown to this session is to be seen.

    Raises:
        Problem: 403 where another site made it; 400, 413 or 415 where it is no well-made form.
    """
    require_same_origin(request, request.app[RESOURCES].settings)
    values: dict[str, list[str]] = {}
    for name, value in await read_form(request):
        values.setdefault(name, []).append(value)
    return PageForm(values)


def is_of_session(request: web.Request, form: PageForm, name: str) -> bool:
    """Whether the form called ``name`` was shown to the session that sends it."""
    session = session_of(request)
    return session is not None and request.app[RESOURCES].csrf.accepts(session, name, form.one(TOKEN_FIELD))


async def read_page_form(request: web.Request, form: str, *, id_field: str | None = None) -> PageForm:
    """The form called ``form`` (with ``id_field``: of the thing whose id that field holds), proven to be ours.

    Raises:
        SignInNeeded: no session came with it.
        Problem: 403 where another site or another session made it; 400, 413 or 415 where it is no well-made form.
    """
    fields = await read_own_form(request)
    required_session(request)
    name = form if id_field is None else f"{form} {fields.one(id_field)}"
    if not is_of_session(request, fields, name):
        raise stale_form()
    return fields


def is_key_name(name: str) -> bool:
    """Whether a person may call a key this: nothing in it is hidden, and it fits into a list."""
    return len(name) <= LONGEST_NAME and is_visible(name)


def stale_form() -> Problem:
    """The 403 for a form that was shown to another session, or for another thing."""
    return Problem(403, "The form does not belong to this sign-in.", code="stale_form")
