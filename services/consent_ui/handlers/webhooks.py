"""The webhooks of a client in the author's console: the address, the keys that sign, deliveries, and a test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from services.consent_ui.forms import PageForm, read_page_form
from services.consent_ui.handlers.developer import done, own_client
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import ask, required_session
from shared.contracts.clients import ClientFields, UpdateClient
from shared.contracts.sessions import PersonalCommand
from shared.contracts.webhooks import (
    ReadWebhooks,
    ResendWebhook,
    RotateWebhookKeys,
    SendTestWebhook,
    WebhookActed,
    WebhookKeyView,
    Webhooks,
)
from shared.secret_tokens import digest_of
from shared.web.body import query_pairs
from shared.web.failures import Problem
from shared.web.redirects import see_other
from shared.webhook_secret import derive_hmac_key, written_secret

FORM: Final = "webhooks"
_NOTICES: Final = {
    "tested": "The test event is on its way. Reload this page to see what became of it.",
    "resent": "It is sent again. Reload this page to see what became of it.",
    "rotated": "New keys sign from now on. Give your receiver the new secret.",
    "enabled": "The address is tried again from now on.",
}
_WEBHOOK_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One version of the keys that sign, as its author sees it."""

    version: int
    public_key: str
    ends_on: int | None
    secret: str | None = field(repr=False)
    """``None`` where it was not asked for."""


@dataclass(frozen=True, slots=True)
class WebhooksView:
    """The page of a client's webhooks."""

    client_id: str
    webhooks: Webhooks
    keys: Sequence[SigningKey]
    secrets_shown: bool
    older: int | None
    """``before`` of the next page of deliveries; ``None`` on the last one."""
    first_page: bool


async def show_webhooks(request: web.Request) -> web.Response:
    """``GET /developer/clients/{clientID}/webhooks``; ``?before=`` pages, ``?show=secrets`` shows the secrets too."""
    query, client_id = dict(query_pairs(request)), request.match_info["clientID"]
    before = number_in(query["before"]) if "before" in query else None
    command = ReadWebhooks(session=required_session(request), client_id=client_id, before=before)
    visitor, webhooks = await ask(request, command)
    if webhooks.outcome != "done":
        raise _no_such_client()
    resources, shown = request.app[RESOURCES], query.get("show") == "secrets"
    keys = [_signing_key(resources.settings.secrets, client_id, key, shown=shown) for key in webhooks.keys]
    older = webhooks.deliveries[-1].number if webhooks.more else None
    return resources.pages.respond(
        "client_webhooks.html",
        WebhooksView(client_id, webhooks, keys, shown, older, first_page=before is None),
        visitor=visitor,
        form=f"{FORM} {client_id}",
        notice=_NOTICES.get(query.get("done", "")),
    )


async def send_test(request: web.Request) -> web.Response:
    """``POST …/webhooks/test``: a test event to the address."""
    form = await _form(request)
    return await _act(
        request, SendTestWebhook(session=required_session(request), client_id=form.one("client_id")), "tested"
    )


async def resend(request: web.Request) -> web.Response:
    """``POST …/webhooks/resend``: one delivery again, with the same id."""
    form = await _form(request)
    command = ResendWebhook(
        session=required_session(request),
        client_id=form.one("client_id"),
        webhook_id=webhook_id_in(form.one("webhook_id")),
    )
    return await _act(request, command, "resent")


async def rotate(request: web.Request) -> web.Response:
    """``POST …/webhooks/rotate``: new keys; the same form sent again makes no others."""
    form = await _form(request)
    command = RotateWebhookKeys(
        session=required_session(request),
        client_id=form.one("client_id"),
        version=number_in(form.one("version")),
        overlap_seconds=form.overlap(),
    )
    return await _act(request, command, "rotated")


async def enable(request: web.Request) -> web.Response:
    """``POST …/webhooks/enable``: the address that was disabled is set again."""
    await _form(request)
    _, client = await own_client(request)
    fields = ClientFields(**{name: getattr(client, name) for name in ClientFields.model_fields})
    command = UpdateClient(session=required_session(request), client_id=client.client_id, fields=fields)
    _, answer = await ask(request, command)
    return see_other(_page(done(answer).client_id, "enabled"))


def webhook_id_in(text: str) -> str:
    """The id of a delivery.

    Raises:
        Problem: 404, none can have this id.
    """
    if not _WEBHOOK_ID.fullmatch(text):
        raise Problem(404, "There is no such delivery.")
    return text


def number_in(text: str) -> int:
    """A number of ours that a form or link carries: of a delivery, or of a version of the keys.

    Raises:
        Problem: 404, none of ours looks like this.
    """
    if not _NUMBER.fullmatch(text):
        raise Problem(404, "There is no such page or version.")
    return int(text)


async def _form(request: web.Request) -> PageForm:
    """The form, of the client that is in the path."""
    form = await read_page_form(request, FORM, id_field="client_id")
    if form.one("client_id") != request.match_info["clientID"]:
        raise _no_such_client()
    return form


async def _act(request: web.Request, command: PersonalCommand[WebhookActed], notice: str) -> web.Response:
    _, answer = await ask(request, command)
    if answer.outcome == "not_found":
        raise Problem(404, "You have no such client or delivery.")
    if answer.outcome == "no_address":
        raise Problem(409, "There is no address to send it to. Set one first.")
    if answer.outcome == "limit":
        headers: Mapping[str, str] = {"Retry-After": str(answer.retry_after or 1)}
        raise Problem(429, answer.detail, headers=headers)
    return see_other(_page(request.match_info["clientID"], notice))


def _page(client_id: str, notice: str) -> str:
    return f"/developer/clients/{client_id}/webhooks?done={notice}"


def _signing_key(secrets: Sequence[bytes], client_id: str, key: WebhookKeyView, *, shown: bool) -> SigningKey:
    """The secret never crosses the bus: it is derived here, under that of the server's secrets which signs."""
    written = (written_secret(derive_hmac_key(each, client_id, key.version)) for each in secrets)
    secret = next((each for each in written if digest_of(each) == key.secret_digest), None) if shown else None
    return SigningKey(key.version, key.public_key, key.ends_on, secret)


def _no_such_client() -> Problem:
    return Problem(404, "You have no client with this ID.")
