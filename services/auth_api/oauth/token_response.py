"""The token response: bare RFC 6749 §5.1 JSON for a form, the same inside the seed system's envelope for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

GRANTED: Final = "Your API key."


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key that was just issued, in clear for this one answer."""

    token: str = field(repr=False)
    key_id: str
    user_id: int
    identifier: str
    permissions: Sequence[str]
    client_id: str
    expires_in: int | None = None
    """Seconds; ``None`` where the key does not expire."""


def token_response(key: IssuedKey) -> dict[str, Any]:
    """The members of a successful answer, of RFC 6749 §5.1 and ours."""
    response: dict[str, Any] = {
        "access_token": key.token,
        "token_type": "Bearer",
        "scope": " ".join(key.permissions),
        "userID": key.user_id,
        "identifier": key.identifier,
        "permissions": dict.fromkeys(key.permissions, True),
        "fromAPIClient": key.client_id,
        "keyID": key.key_id,
    }
    if key.expires_in is not None:
        response["expires_in"] = key.expires_in
    return response


def enveloped(response: dict[str, Any]) -> dict[str, Any]:
    """The answer to a JSON request: the same members, and the key document where the seed's integrators read it."""
    return response | {
        "success": True,
        "description": GRANTED,
        "body": {
            "userID": response["userID"],
            "token": response["access_token"],
            "identifier": response["identifier"],
            "permissions": response["permissions"],
            "fromAPIClient": response["fromAPIClient"],
        },
    }


def enveloped_error(error: dict[str, Any]) -> dict[str, Any]:
    """The error answer to a JSON request: the RFC's members and the envelope's."""
    return error | {"success": False, "description": error["error_description"]}
