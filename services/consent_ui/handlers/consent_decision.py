"""Sends the person's decision to auth_api and turns the answer into a redirect, a key or a page."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web

from services.consent_ui.authorization_query import query_of
from services.consent_ui.error_pages import MessageView, refusal_page
from services.consent_ui.forms import (
    WRONG_NAME,
    PageForm,
    is_key_name,
    is_of_session,
    read_own_form,
    stale_form,
)
from services.consent_ui.handlers.consent_request import DECIDE_FORM, answer_request
from services.consent_ui.handlers.keys import NewKeyView
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import ANSWER_SECONDS, session_of
from shared.api_key import USER_KEY, mint_key
from shared.contracts.authorization import AuthorizationDecided, DecideAuthorization, MintedDigests
from shared.key_file import render_key_file
from shared.secret_tokens import digest_of, random_base62
from shared.web.failures import Problem
from shared.web.redirects import append_parameters, read_target, see_other

_CODE_LENGTH: Final = 43
"""256 bits in base62; the code's digest is all that leaves this process inwards."""
_SHOWN_AGAIN: Final = (
    "Your sign-in has changed since the page was opened, so nothing was decided. Here is the request again."
)


async def decide_request(request: web.Request) -> web.Response:
    """``POST /oauth/decide``: back to the app, with a one-time code or ``access_denied`` (RFC 6749 §4.1.2)."""
    form = await read_own_form(request)
    code = random_base62(_CODE_LENGTH)
    decided = await _decide(request, form, yes="accept", code_digest=digest_of(code))
    if decided.outcome == "redirect" and decided.redirect_uri is not None:
        parameters = [("code", code)] if decided.with_code else []
        return see_other(append_parameters(decided.redirect_uri, [*parameters, *decided.parameters]))
    return await _answer(request, form, decided)


async def create_key_file(request: web.Request) -> web.Response:
    """``POST /client-file-flow/{clientID}``: Create key or Decline.

    The key is minted here and shown in this one answer, with the file inside it; only its digest goes on.
    A request makes one key: sent again, it is answered with a page that says so.
    """
    resources = request.app[RESOURCES]
    form = await read_own_form(request)
    minted = mint_key(resources.settings.key_prefix, USER_KEY, resources.settings.public_url)
    digests = MintedDigests(key_id=minted.key_id, digest=minted.digest)
    decided = await _decide(request, form, yes="create", key=digests)
    if decided.outcome != "key_created" or decided.client is None or decided.key is None:
        return await _answer(request, form, decided)
    client = decided.client
    filename, content = render_key_file(decided.template, decided.filename, client.name, minted.token)
    shown_name = filename if decided.filename else None
    view = NewKeyView("Your key is ready", decided.key, client.name, content, shown_name)
    return resources.pages.respond("new_key.html", view)


async def _decide(
    request: web.Request,
    form: PageForm,
    *,
    yes: str,
    code_digest: str | None = None,
    key: MintedDigests | None = None,
) -> AuthorizationDecided:
    """Sends the decision; what is granted follows the record that auth_api keeps, never the form.

    ``yes`` is the value of the button that agrees. Where the form was shown to another session it is ``signed_out``.

    Raises:
        Problem: 400, no button was pressed, or the name for the key cannot be read.
        BusUnavailable: no answer; what is decided late gives out neither the code nor the key, as neither is shown.
    """
    if not is_of_session(request, form, f"{DECIDE_FORM} {form.one('request_id')}"):
        return AuthorizationDecided(outcome="signed_out")
    pressed = form.one("decision")
    if pressed not in (yes, "decline"):
        raise Problem(400, "The form does not say what was decided.")
    label = form.optional("label") if pressed == yes else None
    if label is not None and not is_key_name(label):
        raise Problem(400, f"The name for the key cannot be used. {WRONG_NAME} Nothing was decided yet.")
    target = _target_of(request, form)
    command = DecideAuthorization(
        request_id=form.one("request_id"),
        session=session_of(request) or "",
        decision="accept" if pressed == yes else "decline",
        code_digest=code_digest,
        key=key,
        label=label,
        query=() if target is None else query_of(request.app[RESOURCES].settings.secrets, target),
    )
    return await request.app[RESOURCES].bus.request(command, ANSWER_SECONDS)


def _target_of(request: web.Request, form: PageForm) -> str | None:
    """The address of the page that the form is on, as that page has signed it."""
    return read_target(request.app[RESOURCES].settings.secrets, form.one("return_to"))


async def _answer(request: web.Request, form: PageForm, decided: AuthorizationDecided) -> web.Response:
    """The browser's answer to every outcome but a redirect and a new key; never a dead end."""
    resources = request.app[RESOURCES]
    target = _target_of(request, form)
    if decided.outcome == "signed_out":
        if target is None:
            raise stale_form()
        return await answer_request(request, target, status=403, notice=_SHOWN_AGAIN)
    if decided.outcome == "refused" and decided.refusal is not None:
        return refusal_page(request, resources.pages, decided.refusal)
    if decided.outcome in _DONE:
        return resources.pages.respond("message.html", _DONE[decided.outcome])
    view = _ALREADY if target is None else replace(_ALREADY, action="Show the request again", href=target)
    return resources.pages.respond("message.html", view, status=409)


_HOME: Final = ("See what has access to your account", "/")
_DONE: Final = {
    "approved": MessageView(
        "Done: return to your device",
        ("Your device is being connected. You can close this page.",),
        *_HOME,
        "good",
    ),
    "declined": MessageView("Declined", ("Nothing was given to the app. You can close this page.",), *_HOME),
}
_ALREADY: Final = MessageView(
    "You have already answered this",
    (
        "Each request can be answered once, and this one was: in another tab, by a second click, or before you came back to this page.",
        "To connect the app again, start again from the app.",
    ),
    *_HOME,
)
