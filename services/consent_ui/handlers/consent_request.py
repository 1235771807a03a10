"""Puts a request to the person: auth_api checks it, and the browser gets a page, a sign-in, a redirect or an error."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from services.consent_ui.authorization_query import flow_of, pairs_of, path_of, query_of
from services.consent_ui.error_pages import refusal_page
from services.consent_ui.form_errors import NO_ERRORS, FormError, FormErrors
from services.consent_ui.pages import Visitor
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import session_of, signed_in, target_of, to_sign_in
from shared.contracts.authorization import (
    MOST_COUNTED,
    ConsentRequest,
    PrepareAuthorization,
    PreparedAuthorization,
)
from shared.secret_tokens import peer_digest
from shared.user_code import format_user_code, normalise_user_code
from shared.web.edge import peer_of, request_id_of
from shared.web.failures import Problem
from shared.web.redirects import see_other, sign_target

DECIDE: Final = "/oauth/decide"
DECIDE_FORM: Final = "decide"
SWITCH_FORM: Final = "switch"
LARGEST_MESSAGE: Final = 60_000
"""In bytes; the bus carries 64 KiB."""
LONGEST_TYPED: Final = 20
"""As much of a mistyped user code as its field holds."""


@dataclass(frozen=True, slots=True)
class ConsentView:
    """A request as the person is asked about it."""

    consent: ConsentRequest
    action: str
    """Where the form goes."""
    user_code: str | None
    """The device's code as it is shown, in the device flow. It came from the browser and goes nowhere else."""
    return_to: str
    """The page's own address, signed: where a form goes on that was shown to another session."""
    switch_target: str
    """The page's own address, where a person goes on who switches the account."""
    switch_token: str

    @property
    def new(self) -> tuple[str, ...]:
        """What the app asks for beyond what the person has allowed it before."""
        return () if self.consent.first_time else self.consent.new_permissions

    @property
    def people(self) -> str | None:
        """How many have connected the app, as a sentence."""
        count = self.consent.people
        if count is None:
            return None
        if count == 0:
            return "Nobody on this site has connected it yet."
        if count == 1:
            return "1 person on this site has connected it."
        return f"{count:,}{'+' if count >= MOST_COUNTED else ''} people on this site have connected it."


@dataclass(frozen=True, slots=True)
class DeviceView:
    """The entry of a device's user code."""

    errors: FormErrors
    typed: str = ""


async def show_request(request: web.Request) -> web.StreamResponse:
    """``GET`` of the seed's link, of the standard endpoint (RFC 6749 §3.1) and of the Client File Flow."""
    return await answer_request(request, target_of(request))


async def device(request: web.Request) -> web.StreamResponse:
    """``GET /device``: the entry of a code; with ``user_code`` the consent page, which shows it again (RFC 8628 §3.3)."""
    target = target_of(request)
    if any(name == "user_code" and value for name, value in pairs_of(target)):
        return await answer_request(request, target)
    visitor = await signed_in(request)
    return request.app[RESOURCES].pages.respond("device.html", DeviceView(NO_ERRORS), visitor=visitor)


async def answer_request(
    request: web.Request, target: str, *, status: int = 200, notice: str | None = None
) -> web.Response:
    """What the browser gets for a request for consent; ``target`` is its path and query on our origin.

    Raises:
        Problem: 400, the query cannot be read or is too long to be passed on; 404, no app can have this id.
        BusUnavailable: auth_api does not answer.
    """
    settings = request.app[RESOURCES].settings
    command = PrepareAuthorization(
        surface=flow_of(target),
        query=query_of(settings.secrets, target),
        session=session_of(request),
        peer=peer_digest(settings.secret, peer_of(request, settings)),
        request_id=request_id_of(request),
        brings_back=True,
    )
    if len(command.to_wire()) > LARGEST_MESSAGE:
        raise Problem(400, "The link is too long.")
    resources = request.app[RESOURCES]
    prepared = await resources.bus.request(command)
    match prepared:
        case PreparedAuthorization(outcome="consent", consent=consent) if consent and command.session:
            visitor = Visitor(command.session, consent.user)
            is_file = command.surface == "client_file_flow"
            view = ConsentView(
                consent,
                action=path_of(target) if is_file else DECIDE,
                user_code=_user_code_of(target) if command.surface == "device" else None,
                return_to=sign_target(resources.settings.secrets, target),
                switch_target=target,
                switch_token=resources.csrf.token(command.session, f"{SWITCH_FORM} {target}"),
            )
            return resources.pages.respond(
                "file_flow.html" if is_file else "consent.html",
                view,
                visitor=visitor,
                form=f"{DECIDE_FORM} {consent.request_id}",
                forms_stay_here=is_file,
                status=status,
                notice=notice,
            )
        case PreparedAuthorization(outcome="sign_in"):
            return to_sign_in(request, target)
        case PreparedAuthorization(outcome="redirect", location=str(location)):
            return see_other(location)
    return _refused(request, target, command, prepared)


def _refused(
    request: web.Request, target: str, command: PrepareAuthorization, prepared: PreparedAuthorization
) -> web.Response:
    """An error page; for a mistyped user code the entry again, with what is wrong beside it."""
    refusal, pages = prepared.refusal, request.app[RESOURCES].pages
    if refusal is None:
        raise TypeError(f"auth_api answered {prepared.outcome} without what belongs to it")
    if command.surface != "device" or refusal.status != HTTPStatus.NOT_FOUND or prepared.user is None:
        return refusal_page(request, pages, refusal)
    errors = FormErrors((FormError("user_code", f"{refusal.title}. {refusal.advice}"),))
    view = DeviceView(errors, _typed_in(target)[:LONGEST_TYPED])
    visitor = Visitor(command.session or "", prepared.user)
    return pages.respond("device.html", view, visitor=visitor, status=refusal.status)


def _typed_in(target: str) -> str:
    """The user code in the address of the device page, as it was typed; of several the one that auth_api looks for."""
    return next((value for name, value in pairs_of(target) if name == "user_code"), "")


def _user_code_of(target: str) -> str | None:
    code = normalise_user_code(_typed_in(target))
    return code and format_user_code(code)
