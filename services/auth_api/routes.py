"""The whole HTTP surface of auth_api on one screen: path, method, handler, and the shape of its errors."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from services.auth_api.handlers import (
    account,
    apps,
    clients,
    create_code,
    device_authorization,
    external_users,
    handoff,
    header_sign_in,
    keys,
    login_requests,
    metadata,
    oidc,
    par,
    register,
    revoke,
    session,
    token,
    webhook_keys,
)
from services.auth_api.handlers.form_failures import render_form_error
from services.auth_api.handlers.oauth_edge import render_token_error
from shared.web.cross_origin import add_preflights
from shared.web.error_renderers import ErrorRenderer, render_oauth_error

ERROR_RENDERERS: Final[tuple[tuple[str, ErrorRenderer], ...]] = (
    ("/api/v1/oauth/token", render_token_error),
    ("/api/v1/oauth/", render_oauth_error),
    ("/.well-known/oauth-authorization-server", render_oauth_error),
    ("/api/v1/openapi.json", render_oauth_error),
    ("/api/v1/session", render_form_error),
    ("/api/v1/users", render_form_error),
    ("/api/v1/account/", render_form_error),
)
"""Path prefixes whose errors are not, or not only, RFC 9457 problems; the first that fits counts."""
HOT: Final = frozenset({"/api/v1/oauth/token"})
"""Counted, but not logged one by one."""
PATIENT: Final = frozenset(
    {"/login/oidc", "/login/oidc/link", "/login/oidc/callback", "/login/oidc/backchannel-logout"}
)
"""Those that wait for somebody else's server, and bound that themselves."""


def add_routes(application: web.Application) -> None:
    """Adds every route. A GET answers HEAD too, and changes nothing; what is open to other sites, OPTIONS."""
    application.add_routes(
        [
            web.post("/api/v1/users", session.create_user),
            web.post("/api/v1/session", session.create_session),
            web.get("/api/v1/session", session.read_session),
            web.delete("/api/v1/session", session.delete_session),
            web.post("/api/v1/account/password", account.change),
            web.post("/api/v1/account/password-reset", account.reset),
            web.get("/api/v1/account/sessions", account.list_own_sessions),
            web.delete("/api/v1/account/sessions", account.end_others),
            web.delete("/api/v1/account/sessions/{sessionID}", account.end_one),
            web.post("/api/v1/clients", clients.create),
            web.get("/api/v1/clients", clients.list_own),
            web.get("/api/v1/clients/{clientID}", clients.read),
            web.patch("/api/v1/clients/{clientID}", clients.update),
            web.delete("/api/v1/clients/{clientID}", clients.delete),
            web.post("/api/v1/clients/{clientID}/reset-secret", clients.reset),
            web.get("/api/v1/clients/{clientID}/attempts", clients.list_attempts),
            web.get("/api/v1/clients/{clientID}/webhook-keys", webhook_keys.list_own),
            web.post("/api/v1/clients/{clientID}/webhook-keys/rotate", webhook_keys.rotate),
            web.post("/api/v1/oauth/token", token.token),
            web.post("/api/v1/oauth/revoke", revoke.revoke),
            web.post("/api/v1/oauth/create-code", create_code.create),
            web.post("/api/v1/oauth/par", par.push_request),
            web.post("/api/v1/oauth/device_authorization", device_authorization.start),
            web.post("/api/v1/oauth/register", register.register),
            web.get("/.well-known/oauth-authorization-server", metadata.metadata),
            web.get("/api/v1/openapi.json", metadata.api_document),
            web.get("/api/v1/apps", apps.list_connected),
            web.delete("/api/v1/apps/{clientID}", apps.disconnect),
            web.get("/api/v1/keys", keys.list_own),
            web.post("/api/v1/keys", keys.create),
            web.patch("/api/v1/keys/{keyID}", keys.change),
            web.delete("/api/v1/keys/{keyID}", keys.revoke),
            web.post("/api/v1/keys/{keyID}/rotate", keys.rotate),
            web.delete("/api/v1/external-users/{externalID}", external_users.end_one),
            web.post("/api/v1/external-users/end", external_users.end_many),
            *_logins(),
            web.get("/api/v1/login-requests/{challenge}", login_requests.read_login_request),
            web.put("/api/v1/login-requests/{challenge}", login_requests.answer_login_request),
        ]
    )
    add_preflights(application)


def _logins() -> list[web.RouteDef]:
    """The way to a login elsewhere and back, for browsers and the provider."""
    return [
        web.get("/login/site", handoff.begin_sign_in),
        web.get("/login/site/header", header_sign_in.sign_in_by_header, allow_head=False),
        web.get("/login/site/callback", handoff.finish_sign_in, allow_head=False),
        web.get("/login/oidc", oidc.begin_sign_in),
        web.post("/login/oidc/link", oidc.begin_linking),
        web.post("/login/site/link", handoff.begin_linking),
        web.get("/login/oidc/callback", oidc.finish_sign_in, allow_head=False),
        web.post("/login/oidc/backchannel-logout", oidc.backchannel_logout),
    ]
