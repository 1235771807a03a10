"""The whole HTTP surface of consent_ui on one screen: path, method, handler."""

from __future__ import annotations

from aiohttp import web

from services.consent_ui.assets import PREFIX
from services.consent_ui.handlers import (
    account,
    apps,
    client_endings,
    consent_decision,
    consent_request,
    developer,
    home,
    key_changes,
    keys,
    public,
    sign_in,
    webhooks,
)


def add_routes(application: web.Application) -> None:
    """Adds every route. A GET answers HEAD too, and grants, makes and changes nothing."""
    client = "/developer/clients/{clientID}"
    application.add_routes(
        [
            web.get("/", home.home),
            web.get("/login", sign_in.login),
            web.get("/sign-up", sign_in.sign_up),
            web.post("/logout", sign_in.logout),
            web.get("/account", account.show_account),
            web.post("/account/sessions", account.end_sessions),
            web.get("/reset-password", account.ask_new_password),
            web.get("/oauth/request-auth", consent_request.show_request),
            web.get("/oauth/authorize", consent_request.show_request),
            web.post("/oauth/decide", consent_decision.decide_request),
            web.get("/client-file-flow/{clientID}", consent_request.show_request),
            web.post("/client-file-flow/{clientID}", consent_decision.create_key_file),
            web.get("/device", consent_request.device),
            web.get("/apps/{clientID}/disconnect", apps.ask_disconnect),
            web.post("/apps/{clientID}/disconnect", apps.disconnect),
            web.get("/revoke-all", apps.ask_revoke_all),
            web.post("/revoke-all", apps.revoke_all),
            web.get("/keys.csv", home.download_keys),
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
            web.get("/developer/api", public.api_page),
            web.get("/developer/clients/new", developer.new_client),
            web.post("/developer/clients/new", developer.create_client),
            web.get(client, developer.show_client),
            web.get(f"{client}/edit", developer.edit_client),
            web.post(f"{client}/edit", developer.save_client),
            web.post(f"{client}/reset-secret", client_endings.reset_secret),
            web.get(f"{client}/delete", client_endings.ask_delete),
            web.post(f"{client}/delete", client_endings.delete_client),
            web.get(f"{client}/webhooks", webhooks.show_webhooks),
            web.post(f"{client}/webhooks/test", webhooks.send_test),
            web.post(f"{client}/webhooks/resend", webhooks.resend),
            web.post(f"{client}/webhooks/enable", webhooks.enable),
            web.post(f"{client}/webhooks/rotate", webhooks.rotate),
            web.get(PREFIX + "{name}", public.static),
        ]
    )
