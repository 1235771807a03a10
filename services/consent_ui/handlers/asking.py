"""Puts a request to the person: auth_api checks it, and the browser gets a page, a sign-in, a redirect or an error."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from services.consent_ui.error_pages import refusal_page
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import session_of, target_of, to_sign_in
from services.consent_ui.views.consent import consent_view
from services.consent_ui.visitor import Visitor
from shared.contracts.authorization import (
    ConsentRequest,
    PrepareAuthorization,
    PreparedAuthorization,
    Refusal,
    Surface,
)
from shared.web.body import query_pairs
from shared.web.edge import request_id_of
from shared.web.failures import Problem
from shared.web.peer import peer_of
from shared.web.redirects import see_other

LARGEST_MESSAGE: Final = 60_000
"""In bytes; the bus carries 64 KiB."""
Refused = Callable[[web.Request, Refusal], Awaitable[web.Response]]
"""Answers what auth_api refused."""

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


async def show_refusal(request: web.Request, refusal: Refusal) -> web.Response:
    """An error page."""
    return refusal_page(request, request.app[RESOURCES].pages, refusal)


async def ask(
    request: web.Request,
    surface: Surface,
    query: Sequence[tuple[str, str]],
    *,
    template: str,
    action: str,
    refused: Refused = show_refusal,
) -> web.Response:
    """The answer to a request for consent; ``action`` is where its form goes.

    Raises:
        Problem: 400, the request is too long to be passed on.
        BusUnavailable: auth_api does not answer.
    """
    command = PrepareAuthorization(
        surface=surface,
        query=tuple(query),
        target=target_of(request),
        session=session_of(request),
        peer=peer_of(request, request.app[RESOURCES].settings),
        request_id=request_id_of(request),
    )
    if len(command.to_wire()) > LARGEST_MESSAGE:
        raise Problem(400, "The link is too long.")
    prepared = await request.app[RESOURCES].bus.request(command)
    if prepared.outcome == "refused" and prepared.refusal is not None:
        return await refused(request, prepared.refusal)
    return _answer(request, prepared, command, template=template, action=action)


def strict_query(request: web.Request) -> Sequence[tuple[str, str]]:
    """The pairs of the query as they were sent, duplicates included.

    Raises:
        Problem: 400, a parameter is not percent-encoded UTF-8, or holds a NUL.
    """
    if _BAD_ESCAPE.search(request.rel_url.raw_query_string):
        raise Problem(400, "The link holds a % that two hexadecimal digits do not follow.")
    return query_pairs(request)


def _answer(
    request: web.Request,
    prepared: PreparedAuthorization,
    command: PrepareAuthorization,
    *,
    template: str,
    action: str,
) -> web.Response:
    match prepared:
        case PreparedAuthorization(outcome="consent", consent=ConsentRequest() as consent) if command.session:
            return _consent_page(request, consent, command.session, command.target, template, action)
        case PreparedAuthorization(outcome="sign_in", continue_id=str(continue_id)):
            return to_sign_in(continue_id)
        case PreparedAuthorization(outcome="redirect", location=str(location)):
            return see_other(location)
    raise TypeError(f"auth_api answered {prepared.outcome} without what belongs to it")


def _consent_page(
    request: web.Request, consent: ConsentRequest, session: str, target: str, template: str, action: str
) -> web.Response:
    resources = request.app[RESOURCES]
    visitor = Visitor(session, consent.user)
    view = consent_view(resources, visitor, consent, action, target)
    form_targets = view.target.form_targets if view.target else ()
    return resources.pages.respond(template, view, visitor=visitor, form_targets=form_targets)
