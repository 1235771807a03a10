"""Errors of the protocol as data: the RFC's code, what the client is told, and the exact cause for its author."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

INVALID_REQUEST: Final = "invalid_request"
INVALID_CLIENT: Final = "invalid_client"
INVALID_GRANT: Final = "invalid_grant"
INVALID_SCOPE: Final = "invalid_scope"
UNSUPPORTED_GRANT_TYPE: Final = "unsupported_grant_type"
UNSUPPORTED_RESPONSE_TYPE: Final = "unsupported_response_type"
ACCESS_DENIED: Final = "access_denied"
LOGIN_REQUIRED: Final = "login_required"
CONSENT_REQUIRED: Final = "consent_required"
REQUEST_NOT_SUPPORTED: Final = "request_not_supported"
INVALID_REQUEST_URI: Final = "invalid_request_uri"
AUTHORIZATION_PENDING: Final = "authorization_pending"
SLOW_DOWN: Final = "slow_down"
EXPIRED_TOKEN: Final = "expired_token"  # noqa: S105 - an error's name (RFC 8628 §3.5)
INVALID_REDIRECT_URI: Final = "invalid_redirect_uri"
INVALID_CLIENT_METADATA: Final = "invalid_client_metadata"
TEMPORARILY_UNAVAILABLE: Final = "temporarily_unavailable"

_STATUS: Final = MappingProxyType({INVALID_CLIENT: 401, TEMPORARILY_UNAVAILABLE: 429})


class OAuthError(Exception):
    """A refusal by the rules of the protocol.

    ``code`` and ``description`` are public (RFC 6749 §4.1.2.1, §5.2); ``cause`` names the failing component for the
    client's author alone and holds no secret either.
    """

    def __init__(self, code: str, description: str, *, cause: str = "", status: int = 0) -> None:
        """``status`` is that of the code (400, or 401 for ``invalid_client``) unless given."""
        super().__init__(code)
        self.code = code
        self.description = description
        self.cause = cause or description
        self.status = status or _STATUS.get(code, 400)


def invalid_request(description: str, *, cause: str = "") -> OAuthError:
    """A parameter is missing, repeated, malformed, or contradicts another one."""
    return OAuthError(INVALID_REQUEST, description, cause=cause)


def invalid_grant(description: str, *, cause: str = "") -> OAuthError:
    """The code is unknown, spent, expired, or bound to something else (RFC 6749 §5.2)."""
    return OAuthError(INVALID_GRANT, description, cause=cause)


def invalid_scope(description: str, *, cause: str = "") -> OAuthError:
    """A scope is malformed, unknown, or not among what the client registered."""
    return OAuthError(INVALID_SCOPE, description, cause=cause)


def invalid_client(cause: str) -> OAuthError:
    """The client was not authenticated; one answer for unknown, wrong and missing, so that nothing is learned."""
    return OAuthError(
        INVALID_CLIENT,
        "Client authentication failed: the client is unknown, or its credentials are wrong or missing.",
        cause=cause,
    )
