"""Errors as pages: what happened, why, what to do about it, and the id under which the logs know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web

from services.consent_ui.pages import Pages
from shared.contracts.authorization import ErrorPage
from shared.web.edge import request_id_of
from shared.web.error_renderers import ErrorRenderer
from shared.web.failures import Failure

HOME: Final = ("Go to the start page", "/")
_WORDS: Final[Mapping[int, tuple[str, str]]] = {
    400: (
        "That request does not work",
        "Go back and try again. If you followed a link, ask where you got it for a new one.",
    ),
    403: ("This page is out of date", "Nothing was changed. Open the page again and repeat what you did."),
    404: ("There is nothing here", "Check the address, or start from the beginning."),
    405: ("This address works differently", "Start from the beginning."),
    408: ("That took too long", "Nothing was changed. Try again."),
    413: ("That was too much", "Nothing was changed. Shorten what you entered and try again."),
    415: ("That was not a form of this site", "Open the page again and repeat what you did."),
    429: ("Too many tries", "Wait a moment, then try again."),
    503: ("We will be right back", "Nothing is lost and nothing was half done. Try again in a moment."),
}
_BUG: Final = (
    "Something went wrong on our side",
    "Try again. If it stays, tell the people who run this site the request id below.",
)


@dataclass(frozen=True, slots=True)
class MessageView:
    """A page that says one thing, what was decided or what went wrong, and one way on."""

    title: str
    sentences: tuple[str, ...]
    action: str
    href: str
    tone: Literal["", "good", "warn"] = ""
    request_id: str = ""
    """Under which the logs know the request; with errors."""


def page_renderer(pages: Pages) -> ErrorRenderer:
    """Renders the failures of every path as a page."""

    def render(request: web.Request, failure: Failure) -> web.StreamResponse:
        return pages.respond(
            "message.html", _view(request, failure, pages), status=failure.status, headers=failure.headers
        )

    return render


def refusal_page(request: web.Request, pages: Pages, refusal: ErrorPage) -> web.Response:
    """The page for what auth_api refused."""
    sentences = (refusal.reason, refusal.advice)
    view = MessageView(refusal.title, sentences, *HOME, "warn", request_id_of(request))
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    return pages.respond("message.html", view, status=refusal.status, headers=headers)


def _view(request: web.Request, failure: Failure, pages: Pages) -> MessageView:
    title, advice = _WORDS.get(failure.status, _BUG if failure.status >= 500 else _WORDS[400])  # noqa: PLR2004
    reason = failure.detail
    action, href = HOME
    if failure.status == 403:  # noqa: PLR2004
        reason = (
            "It was opened by another sign-in or address than the one it was sent with, or by another site."
        )
        action, href = f"Open {pages.site.name}", pages.site.url
    elif failure.status == 503 and request.method in ("GET", "HEAD"):  # noqa: PLR2004
        action, href = "Try again", ""
    return MessageView(title, (reason, advice), action, href, "warn", request_id_of(request))
