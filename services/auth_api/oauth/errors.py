"""Errors of the protocol as data: the RFC's code, what the client is told, and the exact cause for its author."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

ErrorCode = Literal[
    "access_denied",
    "authorization_pending",
    "consent_required",
    "expired_token",
    "invalid_client",
    "invalid_client_metadata",
    "invalid_grant",
    "invalid_redirect_uri",
    "invalid_request",
    "invalid_request_uri",
    "invalid_scope",
    "login_required",
    "request_not_supported",
    "slow_down",
    "temporarily_unavailable",
    "unsupported_grant_type",
    "unsupported_response_type",
]
"""The codes of RFC 6749 and its kin that are given here."""

_STATUS: Final = MappingProxyType({"invalid_client": 401, "temporarily_unavailable": 429})


class OAuthError(Exception):
    """A refusal by the rules of the protocol.

    ``code`` and ``description`` are public (RFC 6749 §4.1.2.1, §5.2); ``cause`` names the failing component for the
    client's author alone and holds no secret either.
    """

    def __init__(self, code: ErrorCode, description: str, *, cause: str = "", status: int = 0) -> None:
        """``status`` is that of the code (400, or 401 for ``invalid_client``) unless given."""
        super().__init__(code)
        self.code: ErrorCode = code
        self.description = description
        self.cause = cause or description
        self.status = status or _STATUS.get(code, 400)


def invalid_request(description: str, *, cause: str = "") -> OAuthError:
    """A parameter is missing, repeated, malformed, or contradicts another one."""
    return OAuthError("invalid_request", description, cause=cause)


def invalid_grant(description: str, *, cause: str = "") -> OAuthError:
    """The code is unknown, spent, expired, or bound to something else (RFC 6749 §5.2)."""
    return OAuthError("invalid_grant", description, cause=cause)


def invalid_scope(description: str, *, cause: str = "") -> OAuthError:
    """A scope is malformed, unknown, or not among what the client registered."""
    return OAuthError("invalid_scope", description, cause=cause)


def invalid_client(cause: str) -> OAuthError:
    """The client was not authenticated; one answer for unknown, wrong and missing, so that nothing is learned."""
    return OAuthError(
        "invalid_client",
        "Client authentication failed: the client is unknown, or its credentials are wrong or missing.",
        cause=cause,
    )
