"""A client as JSON: one shape for the REST interface and the command line."""

from __future__ import annotations

from typing import Any, Final

from services.auth_api.client import Client

_NO_SECRET: Final = "no secret to show"  # noqa: S105 - says that there is none


def client_document(client: Client, *, secret: str | None = _NO_SECRET) -> dict[str, Any]:
    """A client as integrators see it; with ``secret`` (``None`` for a public client) as its author does once."""
    shown = {} if secret is _NO_SECRET else {"clientSecret": secret}
    return {
        "clientID": client.client_id,
        **shown,
        "name": client.name,
        "author": client.author_id,
        "redirectUri": client.redirect_uris[0] if client.redirect_uris else None,
        "redirectUris": list(client.redirect_uris),
        "requestedPermissions": list(client.requested_permissions),
        "apiKeyFormat": client.api_key_format,
        "apiKeyFilename": client.api_key_filename,
        "webhookUri": client.webhook_uri,
        "homepage": client.homepage,
        "description": client.description,
        "public": client.public,
        "createdOn": client.created_on,
    }
