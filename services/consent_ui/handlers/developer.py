"""The author's console: the list, one client with its last attempts, registering, editing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from services.consent_ui.form_errors import NO_ERRORS, FormError, FormErrors, client_form_errors
from services.consent_ui.forms import PageForm, read_page_form
from services.consent_ui.pages import Visitor
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import ask, required_session, signed_in
from shared.api_key import mint_client_secret
from shared.contracts.clients import (
    OVERLAP_USED,
    Attempt,
    ClientAnswer,
    ClientFields,
    ClientTexts,
    ClientView,
    CreateClient,
    ListAttempts,
    ListOwnClients,
    ReadOwnClient,
    UpdateClient,
)
from shared.errors import StoreUnavailable
from shared.permissions import Permission
from shared.secret_tokens import digest_of
from shared.web.failures import Problem
from shared.web.redirects import see_other

NEW_FORM: Final = "new-client"
EDIT_FORM: Final = "edit-client"
RESET_FORM: Final = "reset-secret"
_NOTICES: Final = {"saved": "Saved.", "deleted": "The client is deleted. Its keys are refused everywhere."}
_LIMIT: Final = FormErrors(
    (FormError("", "You have as many clients as this site allows. Delete one first."),)
)


@dataclass(frozen=True, slots=True)
class ClientFormView:
    """The form that registers or edits a client, with what was typed."""

    fields: ClientFields
    choices: tuple[Permission, ...]
    errors: FormErrors = NO_ERRORS
    client_id: str | None = None
    """``None`` while the client is new; then permissions and kind can still be chosen."""


@dataclass(frozen=True, slots=True)
class ClientPageView:
    """One client, to its author."""

    client: ClientView
    attempts: Sequence[Attempt] | None
    """By whom, then newest first; ``None`` where they cannot be read right now."""
    refusals_only: bool = False
    """Whether those that went well are left out."""

    @property
    def old_secret_used_on(self) -> int | None:
        """When the secret before the last reset was last used; ``None`` for none of the last attempts."""
        uses = (attempt.on for attempt in self.attempts or () if attempt.cause == OVERLAP_USED)
        return max(uses, default=None)


@dataclass(frozen=True, slots=True)
class ClientSecretView:
    """A client's new secret, for this one answer."""

    client: ClientView
    secret: str | None = field(repr=False)
    """``None`` for a public client, which has none."""
    overlap: int | None = None
    """Seconds that the old secret works on; ``None`` for a new client, which has none."""


async def list_clients(request: web.Request) -> web.Response:
    """``GET /developer``."""
    resources = request.app[RESOURCES]
    visitor, listed = await ask(request, ListOwnClients(session=required_session(request)))
    notice = _NOTICES.get(request.query.get("done", ""))
    return resources.pages.respond("developer.html", listed, visitor=visitor, notice=notice)


async def show_client(request: web.Request) -> web.Response:
    """``GET /developer/clients/{clientID}``: its links, credentials, last attempts."""
    resources = request.app[RESOURCES]
    (visitor, client), attempts = await asyncio.gather(own_client(request), _attempts(request))
    return resources.pages.respond(
        "client.html",
        ClientPageView(client, attempts, refusals_only=request.query.get("show") == "refusals"),
        visitor=visitor,
        form=f"{RESET_FORM} {client.client_id}",
        notice=_NOTICES.get(request.query.get("done", "")),
    )


async def new_client(request: web.Request) -> web.Response:
    """``GET /developer/clients/new``."""
    return _form_page(request, await signed_in(request), ClientFields())


async def create_client(request: web.Request) -> web.Response:
    """``POST /developer/clients/new``: the secret is minted here and shown in this one answer."""
    resources = request.app[RESOURCES]
    form = await read_page_form(request, NEW_FORM)
    fields = _fields_from(form)
    secret = None if fields.public else mint_client_secret(resources.settings.key_prefix)
    command = CreateClient(
        session=required_session(request),
        fields=fields,
        secret_digest=None if secret is None else digest_of(secret),
    )
    visitor, answer = await ask(request, command)
    if answer.outcome in ("invalid", "limit"):
        return _form_page(request, visitor, fields, _errors_of(answer))
    view = ClientSecretView(done(answer), secret)
    return resources.pages.respond("client_secret.html", view, visitor=visitor, status=201)


async def edit_client(request: web.Request) -> web.Response:
    """``GET /developer/clients/{clientID}/edit``."""
    visitor, client = await own_client(request)
    return _form_page(request, visitor, client, client_id=client.client_id)


async def save_client(request: web.Request) -> web.Response:
    """``POST /developer/clients/{clientID}/edit``."""
    form = await read_page_form(request, EDIT_FORM, id_field="client_id")
    client_id, fields = form.one("client_id"), _fields_from(form)
    command = UpdateClient(session=required_session(request), client_id=client_id, fields=fields)
    visitor, answer = await ask(request, command)
    if answer.outcome == "invalid":
        return _form_page(request, visitor, fields, _errors_of(answer), client_id=client_id)
    return see_other(f"/developer/clients/{done(answer).client_id}?done=saved")


async def own_client(request: web.Request) -> tuple[Visitor, ClientView]:
    """The person, and the client in the path if it is theirs.

    Raises:
        SignInNeeded: the session is over.
        Problem: 404, it is unknown or of another author.
    """
    command = ReadOwnClient(session=required_session(request), client_id=request.match_info["clientID"])
    visitor, answer = await ask(request, command)
    return visitor, done(answer)


def done(answer: ClientAnswer) -> ClientView:
    """The client of an answer that says it happened.

    Raises:
        Problem: 404 unknown or of another author, 400 a wrong field.
    """
    if answer.outcome == "done" and answer.client is not None:
        return answer.client
    if answer.outcome == "invalid":
        raise Problem(400, " ".join(line.sentence for line in client_form_errors(answer.errors).lines))
    raise Problem(404, "You have no client with this ID.")


async def _attempts(request: web.Request) -> tuple[Attempt, ...] | None:
    """The activity log; the page is shown without it where it cannot be read."""
    try:
        command = ListAttempts(session=required_session(request), client_id=request.match_info["clientID"])
        return (await request.app[RESOURCES].bus.request(command)).attempts
    except StoreUnavailable:
        return None


def _fields_from(form: PageForm) -> ClientFields:
    """What an author typed, not yet checked; an input that was left empty is no value.

    Raises:
        Problem: 400, a field was sent twice.
    """
    texts = {name: form.optional(name) for name in ClientTexts.model_fields}
    texts["api_key_format"] = form.text("api_key_format") or None
    return ClientFields(
        redirect_uris=form.lines("redirect_uris"),
        requested_permissions=form.many("requested_permissions"),
        public=form.one("client_type") == "public",
        **texts,
    )


def _errors_of(answer: ClientAnswer) -> FormErrors:
    return _LIMIT if answer.outcome == "limit" else client_form_errors(answer.errors)


def _form_page(
    request: web.Request,
    visitor: Visitor,
    fields: ClientFields,
    errors: FormErrors = NO_ERRORS,
    *,
    client_id: str | None = None,
) -> web.Response:
    catalogue = request.app[RESOURCES].catalogue
    return request.app[RESOURCES].pages.respond(
        "client_new.html" if client_id is None else "client_edit.html",
        ClientFormView(fields, tuple(catalogue.values()), errors, client_id),
        visitor=visitor,
        form=NEW_FORM if client_id is None else f"{EDIT_FORM} {client_id}",
        status=400 if errors.lines else 200,
    )
