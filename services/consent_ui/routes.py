"""The whole HTTP surface of consent_ui on one screen: path, method, handler."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from services.consent_ui.assets import PREFIX, Asset
from services.consent_ui.handlers import (
    apps,
    authorize,
    client_endings,
    decide,
    developer,
    device,
    file_flow,
    home,
    key_changes,
    key_table,
    keys,
    revoke_all,
    sign_in,
)
from services.consent_ui.handlers.api import api_page
from services.consent_ui.handlers.static import static_handler


def add_routes(application: web.Application, assets: Mapping[str, Asset]) -> None:
    """Adds every route. A GET answers HEAD too, and grants, makes and changes nothing."""
    client = "/developer/clients/{clientID}"
    application.add_routes(
        [
            web.get("/", home.home),
            web.get("/login", sign_in.login),
            web.get("/sign-up", sign_in.sign_up),
            web.post("/logout", sign_in.logout),
            web.get("/oauth/request-auth", authorize.request_auth),
            web.get("/oauth/authorize", authorize.authorize),
            web.post("/oauth/decide", decide.decide_request),
            web.get("/client-file-flow/{clientID}", file_flow.show_file_flow),
            web.post("/client-file-flow/{clientID}", file_flow.create_key_file),
            web.get("/device", device.device),
            web.get("/apps/{clientID}/disconnect", apps.ask_disconnect),
            web.post("/apps/{clientID}/disconnect", apps.disconnect),
            web.get("/revoke-all", revoke_all.ask_revoke_all),
            web.post("/revoke-all", revoke_all.revoke_all),
            web.get("/keys.csv", key_table.download_keys),
            web.get("/keys/{keyID}", keys.show_key),
            web.get("/keys/{keyID}/revoke", keys.ask_revoke),
            web.post("/keys/{keyID}/revoke", keys.revoke),
            web.post("/keys/{keyID}/rotate", keys.rotate),
            web.post("/keys/{keyID}/pause", key_changes.pause),
            web.post("/keys/{keyID}/resume", key_changes.resume),
            web.post("/keys/{keyID}/narrow", key_changes.narrow),
            web.post("/keys/{keyID}/rename", key_changes.rename),
            web.post("/keys/{keyID}/expire", key_changes.expire),
            web.get("/developer", developer.list_clients),
            web.get("/developer/api", api_page()),
            web.get("/developer/clients/new", developer.new_client),
            web.post("/developer/clients/new", developer.create_client),
            web.get(client, developer.show_client),
            web.get(f"{client}/edit", developer.edit_client),
            web.post(f"{client}/edit", developer.save_client),
            web.post(f"{client}/reset-secret", client_endings.reset_secret),
            web.get(f"{client}/delete", client_endings.ask_delete),
            web.post(f"{client}/delete", client_endings.delete_client),
            web.get(PREFIX + "{name}", static_handler(assets)),
        ]
    )
