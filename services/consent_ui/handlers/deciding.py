"""Tells auth_api what the person decided and turns its answer into a redirect or a page."""

from __future__ import annotations

from typing import Final, Literal

from aiohttp import web

from services.consent_ui.error_pages import refusal_page
from services.consent_ui.forms import PageForm, read_page_form
from services.consent_ui.key_names import WRONG_NAME, is_key_name
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import session_of
from services.consent_ui.views.consent import DECIDE_FORM
from services.consent_ui.views.messages import MessageView
from shared.contracts.authorization import AuthorizationDecided, DecideAuthorization, MintedDigests
from shared.redirect_location import append_parameters
from shared.web.failures import Problem
from shared.web.redirects import see_other

DECISION_SECONDS: Final = 3.2
"""Longer than other requests: behind a decision auth_api may have to ask the issuer."""

Decision = Literal["accept", "decline"]


async def read_decision(request: web.Request, *, yes: str) -> tuple[PageForm, Decision]:
    """The form of a consent page and the button that was pressed; ``yes`` is the value of the one that agrees.

    Raises:
        Problem: 403 for a form of another site, session or request; 400 where no button was pressed.
    """
    form = await read_page_form(request, DECIDE_FORM, id_field="request_id")
    pressed = form.one("decision")
    if pressed not in (yes, "decline"):
        raise Problem(400, "The form does not say what was decided.")
    return form, "decline" if pressed == "decline" else "accept"


async def decide(
    request: web.Request,
    form: PageForm,
    decision: Decision,
    *,
    code_digest: str | None = None,
    key: MintedDigests | None = None,
) -> AuthorizationDecided:
    """Sends the decision; what is granted follows the record that auth_api keeps, never the form.

    Raises:
        Problem: 400, the person called the key what nobody could read; the request is still open.
        BusUnavailable: no answer; whatever was done late gives nobody a key that is not shown here.
    """
    label = form.optional("label") if decision == "accept" else None
    if label is not None and not is_key_name(label):
        raise Problem(400, f"The name for the key cannot be used. {WRONG_NAME} Nothing was decided yet.")
    command = DecideAuthorization(
        request_id=form.one("request_id"),
        session=session_of(request) or "",
        decision=decision,
        code_digest=code_digest,
        key=key,
        label=label,
    )
    return await request.app[RESOURCES].bus.request(command, timeout=DECISION_SECONDS)


def answer_decision(
    request: web.Request, decided: AuthorizationDecided, code: str | None = None
) -> web.Response:
    """The browser's answer to every outcome but a new key."""
    pages = request.app[RESOURCES].pages
    if decided.outcome == "redirect" and decided.redirect_uri is not None and bool(code) >= decided.with_code:
        parameters = [("code", code)] if code and decided.with_code else []
        return see_other(append_parameters(decided.redirect_uri, [*parameters, *decided.parameters]))
    if decided.outcome == "refused" and decided.refusal is not None:
        return refusal_page(request, pages, decided.refusal)
    view, status = _MESSAGES.get(decided.outcome, _MESSAGES["already_decided"])
    return pages.respond("message.html", view, status=status)


_HOME: Final = ("See what has access to your account", "/")
_MESSAGES: Final = {
    "approved": (
        MessageView(
            "Done: return to your device",
            ("Your device is being connected. You can close this page.",),
            *_HOME,
            good=True,
        ),
        200,
    ),
    "declined": (
        MessageView("Declined", ("Nothing was given to the app. You can close this page.",), *_HOME),
        200,
    ),
    "already_decided": (
        MessageView(
            "You have already answered this",
            (
                "Each request can be answered once, and this one was: in another tab, by a second click, or before you came back to this page.",
                "To connect the app again, start again from the app.",
            ),
            *_HOME,
        ),
        409,
    ),
    "signed_out": (
        MessageView(
            "Your sign-in has changed",
            (
                "You are signed out, or signed in as somebody else than when this page was opened. Nothing was given to the app.",
                "Sign in, then start again from the app.",
            ),
            "Sign in",
            "/login",
        ),
        403,
    ),
}
