"""The token request (RFC 6749 §4.1.3, RFC 8628 §3.4): which grant, and the fields it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from services.auth_api.oauth.errors import UNSUPPORTED_GRANT_TYPE, OAuthError
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.oauth.pkce import check_verifier_syntax

AUTHORIZATION_CODE: Final = "authorization_code"
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES: Final = (AUTHORIZATION_CODE, DEVICE_CODE)

KNOWN: Final = frozenset(
    {
        "grant_type",
        "code",
        "redirect_uri",
        "client_id",
        "client_secret",
        "code_verifier",
        "device_code",
    }
)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request whose syntax is right. ``code`` is the one-time or the device code."""

    grant_type: str
    code: str = field(repr=False)
    redirect_uri: str | None
    verifier: str | None = field(repr=False)


def read_token_request(parameters: Parameters) -> TokenRequest:
    """The fields of the grant that is asked for.

    Raises:
        OAuthError: ``invalid_request`` naming the field, or ``unsupported_grant_type``.
    """
    grant_type = parameters.require("grant_type")
    if grant_type not in GRANT_TYPES:
        raise OAuthError(
            UNSUPPORTED_GRANT_TYPE,
            f"grant_type must be {AUTHORIZATION_CODE} or {DEVICE_CODE}.",
            cause="unsupported grant_type",
        )
    if grant_type == DEVICE_CODE:
        return TokenRequest(grant_type, parameters.require("device_code"), None, None)
    verifier = parameters.get("code_verifier")
    if verifier is not None:
        check_verifier_syntax(verifier)
    return TokenRequest(grant_type, parameters.require("code"), parameters.get("redirect_uri"), verifier)
