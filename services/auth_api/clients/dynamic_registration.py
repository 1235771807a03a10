"""Clients that register themselves (RFC 7591), where the operator allows it; neither an author nor the operator vouches for them."""

from __future__ import annotations

from typing import Final

from services.auth_api.clients.model import OPERATOR, Client
from services.auth_api.clients.registry import create_client
from services.auth_api.clients.validation import check_client_fields, tidied
from services.auth_api.oauth.client_registration import Registration
from services.auth_api.oauth.errors import ErrorCode, OAuthError
from services.auth_api.rate_limit import Limit
from services.auth_api.resources import Resources
from shared.contracts.clients import ClientFields

PER_PEER: Final = Limit("registration", burst=20, interval_ms=180_000)
"""Registrations from one peer: 20 at once, then 20 an hour."""


async def register_client(
    resources: Resources, registration: Registration, secret_digest: str | None, *, peer: str
) -> Client:
    """Registers a client that has no author; durable when it returns.

    Raises:
        OAuthError: ``invalid_client_metadata`` or ``invalid_redirect_uri``.
        Throttled: this peer has registered too often.
        StoreUnavailable: PostgreSQL or Redis does not answer.
    """
    fields = ClientFields(
        name=registration.name,
        redirect_uris=registration.redirect_uris,
        requested_permissions=registration.permissions,
        homepage=registration.homepage,
        public=registration.public,
    )
    errors = check_client_fields(
        tidied(fields), resources.catalogue, private_targets=resources.settings.private_targets
    )
    for error in errors:
        code: ErrorCode = (
            "invalid_redirect_uri" if error.field.startswith("redirectUris") else "invalid_client_metadata"
        )
        raise OAuthError(code, f"{_NAMES.get(error.field, error.field)} {error.detail}.")
    await resources.limiter.take(PER_PEER, peer)
    return await create_client(resources, OPERATOR, fields, secret_digest, self_registered=True)


_NAMES: Final = {"name": "client_name", "homepage": "client_uri", "requestedPermissions": "scope"}
