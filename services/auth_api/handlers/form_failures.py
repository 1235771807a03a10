"""What the forms with a password are answered where something is wrong: their page again, and never JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from services.auth_api.accounts.password_changes import SAME
from services.auth_api.accounts.password_resets import PAGE as RESET_PAGE
from services.auth_api.accounts.service import COMMON, IS_THE_NAME
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.plain_page import plain_page
from services.auth_api.handlers.sent_forms import SentForm, sent_form
from shared.web.cookies import keep_typed_username
from shared.web.error_renderers import render_problem
from shared.web.failures import Failure
from shared.web.redirects import see_other

_PAGES: Final[Mapping[str, str]] = {
    "/api/v1/session": "/login",
    "/api/v1/users": "/sign-up",
    "/api/v1/account/password": "/account",
    "/api/v1/account/password-reset": RESET_PAGE,
}
_WORDS: Final[Mapping[int, str]] = {
    401: "invalid",
    403: "closed",
    404: "used",
    409: "taken",
    429: "throttled",
    503: "unavailable",
}
_FIELDS: Final = ("username", "password", "current", "new")
_REASONS: Final[Mapping[str, str]] = {COMMON: "common", IS_THE_NAME: "is-name", SAME: "same"}
"""What is wrong with a new password, where that is not its length → the page's word for it."""


def render_form_error(request: web.Request, failure: Failure) -> web.StreamResponse:
    """A program receives the problem; a form of ours is answered 303 to its page, which says in words what is wrong.

    A form that could not be read, or that another site's page sent, keeps its status; it is a page that leads there.
    """
    page = _PAGES.get(request.path)
    if page is None or request.method != "POST":
        return render_problem(request, failure)
    form = sent_form(request)
    if form is not None:
        return _back_to_page(request, page, _words_for(failure), form)
    if any("text/html" in accepted for accepted in request.headers.getall("Accept", [])):
        if failure.status == 401:  # noqa: PLR2004 - the page asks to sign in, and comes back
            return see_other(page)
        return _page_that_leads_back(request, page, failure)
    return render_problem(request, failure)


def _words_for(failure: Failure) -> Sequence[str]:
    if failure.status in _WORDS:
        return [_WORDS[failure.status]]
    wrong = {error.field: error.detail for error in failure.errors if error.field in _FIELDS}
    return [_REASONS.get(wrong[name], name) for name in _FIELDS if name in wrong] or ["broken"]


def _back_to_page(
    request: web.Request, page: str, words: Sequence[str], form: SentForm
) -> web.StreamResponse:
    response = see_other(f"{page}?{urlencode([*(('error', word) for word in words), *form.query])}")
    keep_typed_username(response, request.app[RESOURCES].settings, form.username)
    return response


def _page_that_leads_back(request: web.Request, page: str, failure: Failure) -> web.StreamResponse:
    word = {403: "elsewhere", 503: "unavailable"}.get(failure.status, "unreadable")
    # A person who opened the site under another address than its own (localhost) is led to its own.
    target = f"{request.app[RESOURCES].settings.public_url}{page}?error={word}"
    return plain_page(request, failure.status, failure.detail, target, at_once=True, headers=failure.headers)
