"""Authorization server metadata (RFC 8414): only what works is listed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.auth_api.oauth.client_authentication import METHODS
from services.auth_api.oauth.pkce import METHOD
from services.auth_api.oauth.token import GRANT_TYPES


def metadata(issuer: str, permissions: Iterable[str], *, registration: bool) -> dict[str, Any]:
    """The document at ``/.well-known/oauth-authorization-server``. ``issuer`` has no trailing slash."""
    api = f"{issuer}/api/v1/oauth"
    document: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{api}/token",
        "revocation_endpoint": f"{api}/revoke",
        "introspection_endpoint": f"{api}/introspect",
        "pushed_authorization_request_endpoint": f"{api}/par",
        "device_authorization_endpoint": f"{api}/device_authorization",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "code_challenge_methods_supported": [METHOD],
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": list(permissions),
        "service_documentation": f"{issuer}/developer/api",
    }
    if registration:
        document["registration_endpoint"] = f"{api}/register"
    return document
