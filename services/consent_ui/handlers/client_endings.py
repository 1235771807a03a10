"""What ends something of a client: a new secret in place of the old one, and deleting it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.consent_ui.forms import read_page_form
from services.consent_ui.handlers.developer import RESET_FORM, ClientSecretView, done, own_client
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import ask, required_session
from shared.api_key import mint_client_secret
from shared.contracts.clients import DeleteClient, ResetClientSecret
from shared.secret_tokens import digest_of
from shared.web.redirects import see_other

_DELETE_FORM: Final = "delete-client"


async def reset_secret(request: web.Request) -> web.Response:
    """``POST /developer/clients/{clientID}/reset-secret``: the new secret, in this one answer."""
    resources = request.app[RESOURCES]
    form = await read_page_form(request, RESET_FORM, id_field="client_id")
    overlap = form.overlap()
    secret = mint_client_secret(resources.settings.key_prefix)
    command = ResetClientSecret(
        session=required_session(request),
        client_id=form.one("client_id"),
        secret_digest=digest_of(secret),
        overlap_seconds=overlap,
    )
    visitor, answer = await ask(request, command)
    view = ClientSecretView(done(answer), secret, overlap)
    return resources.pages.respond("client_secret.html", view, visitor=visitor)


async def ask_delete(request: web.Request) -> web.Response:
    """``GET /developer/clients/{clientID}/delete``: what breaks. Changes nothing."""
    visitor, client = await own_client(request)
    form = f"{_DELETE_FORM} {client.client_id}"
    return request.app[RESOURCES].pages.respond("client_delete.html", client, visitor=visitor, form=form)


async def delete_client(request: web.Request) -> web.Response:
    """``POST /developer/clients/{clientID}/delete``: every key, code and pending request of it is dead."""
    form = await read_page_form(request, _DELETE_FORM, id_field="client_id")
    command = DeleteClient(session=required_session(request), client_id=form.one("client_id"))
    _, answer = await ask(request, command)
    if answer.outcome != "done":
        done(answer)
    return see_other("/developer?done=deleted")
