"""The token request and its answer: bare RFC 6749 JSON for a form, inside the seed system's envelope for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from services.auth_api.oauth.authorization_code import CodeRecord
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.oauth.pkce import check_verifier_syntax
from shared.api_key import MintedKey
from shared.secret_tokens import digest_of
from shared.seed_envelope import failed, succeeded

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
GRANTED: Final = "Your API key."


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request whose syntax is right (RFC 6749 §4.1.3, RFC 8628 §3.4). ``code`` may be a device code."""

    grant_type: str
    code: str = field(repr=False)
    redirect_uri: str | None
    verifier: str | None = field(repr=False)

    @property
    def code_digest(self) -> str:
        """All of the code that goes any further."""
        return digest_of(self.code)


def read_token_request(parameters: Parameters) -> TokenRequest:
    """The fields of the grant that is asked for.

    Raises:
        OAuthError: ``invalid_request`` naming the field, or ``unsupported_grant_type``.
    """
    grant_type = parameters.require("grant_type")
    if grant_type not in GRANT_TYPES:
        raise OAuthError(
            "unsupported_grant_type",
            f"grant_type must be {AUTHORIZATION_CODE} or {DEVICE_CODE}.",
            cause="unsupported grant_type",
        )
    if grant_type == DEVICE_CODE:
        return TokenRequest(grant_type, parameters.require("device_code"), None, None)
    verifier = parameters.get("code_verifier")
    if verifier is not None:
        check_verifier_syntax(verifier)
    return TokenRequest(grant_type, parameters.require("code"), parameters.get("redirect_uri"), verifier)


def token_response(
    key: MintedKey, record: CodeRecord, client_name: str, expires_in: int | None = None
) -> dict[str, Any]:
    """The members of a successful answer, of RFC 6749 §5.1 and ours.

    ``record`` is that of the code which the key came out of; ``expires_in`` is in seconds, ``None`` where the key does
    not expire.
    """
    response: dict[str, Any] = {
        "access_token": key.token,
        "token_type": "Bearer",
        "scope": " ".join(record.permissions),
        "userID": record.user_id,
        "identifier": record.label or client_name,
        "permissions": dict.fromkeys(record.permissions, True),
        "fromAPIClient": record.client_id,
        "keyID": key.key_id,
    }
    if expires_in is not None:
        response["expires_in"] = expires_in
    return response


def enveloped(response: dict[str, Any]) -> dict[str, Any]:
    """The answer to a JSON request: the same members, and the key document where the seed's integrators read it."""
    key = {
        "userID": response["userID"],
        "token": response["access_token"],
        "identifier": response["identifier"],
        "permissions": response["permissions"],
        "fromAPIClient": response["fromAPIClient"],
    }
    return response | succeeded(GRANTED, key)


def enveloped_error(error: dict[str, Any]) -> dict[str, Any]:
    """The error answer to a JSON request: the RFC's members and the envelope's."""
    return error | failed(error["error_description"])
