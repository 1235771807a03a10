"""The Client File Flow: a person makes a key for a program that reads it from a file."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from services.consent_ui.display_names import readable
from services.consent_ui.handlers.asking import ask, strict_query
from services.consent_ui.handlers.deciding import answer_decision, decide, read_decision
from services.consent_ui.resources import RESOURCES, Resources
from services.consent_ui.views.key_file import NewKeyView, download_address, rows_of
from services.consent_ui.views.permissions import permission_lines
from shared.api_key import USER_KEY, MintedKey, mint_key
from shared.contracts.authorization import AuthorizationDecided, MintedDigests
from shared.contracts.clients import ClientView
from shared.key_file import render_key_file
from shared.web.failures import Problem

_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)


async def show_file_flow(request: web.Request) -> web.Response:
    """``GET /client-file-flow/{clientID}``: what the key would allow. Nothing is made yet."""
    client_id = _client_id_of(request)
    query = [("client_id", client_id), *strict_query(request)]
    return await ask(
        request,
        "client_file_flow",
        query,
        template="file_flow.html",
        action=f"/client-file-flow/{client_id}",
    )


async def create_key_file(request: web.Request) -> web.Response:
    """``POST /client-file-flow/{clientID}``: Create key or Decline.

    The key is minted here and shown in this one answer, with the file inside it; only its digest goes on.
    A request makes one key: sent again, it is answered with a page that says so.
    """
    _client_id_of(request)
    form, decision = await read_decision(request, yes="create")
    if decision == "decline":
        return answer_decision(request, await decide(request, form, decision))
    resources = request.app[RESOURCES]
    minted = mint_key(resources.settings.key_prefix, USER_KEY, resources.settings.public_url)
    digests = MintedDigests(key_id=minted.key_id, digest=minted.digest)
    decided = await decide(request, form, decision, key=digests)
    if decided.outcome != "key_created" or decided.client is None:
        return answer_decision(request, decided)
    return resources.pages.respond("new_key.html", _file_view(resources, decided, decided.client, minted))


def _client_id_of(request: web.Request) -> str:
    client_id = request.match_info["clientID"]
    if not _CLIENT_ID.fullmatch(client_id):
        raise Problem(404, "No app has this id.")
    return client_id


def _file_view(
    resources: Resources, decided: AuthorizationDecided, client: ClientView, minted: MintedKey
) -> NewKeyView:
    filename, content = render_key_file(decided.template, decided.filename, client.name, minted.token)
    permissions = client.requested_permissions if decided.key is None else decided.key.permissions
    return NewKeyView(
        title="Your key is ready",
        app_name=readable(client.name),
        key_id=minted.key_id,
        content=content,
        rows=rows_of(content),
        filename=filename if decided.filename else None,
        download=download_address(content) if decided.filename else None,
        permissions=permission_lines(resources.catalogue, permissions),
        status_url=f"{resources.settings.public_url}/api/v1/status",
    )
