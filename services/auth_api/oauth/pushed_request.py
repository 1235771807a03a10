"""Pushed authorization requests (RFC 9126): the reference, and what must not be pushed."""

from __future__ import annotations

import re
from typing import Any, Final

from services.auth_api.oauth.authorization_request import AUTHORIZE, Question
from services.auth_api.oauth.errors import INVALID_REQUEST_URI, OAuthError, invalid_request

PREFIX: Final = "urn:ietf:params:oauth:request_uri:"
LIFETIME_SECONDS: Final = 90

KNOWN: Final = frozenset({*AUTHORIZE, "client_secret"})

_REFERENCE: Final = re.compile(re.escape(PREFIX) + r"([0-9A-Za-z]{43})")


def check_pushable(question: Question) -> None:
    """Refuses a reference inside of what is pushed (RFC 9126 §2.1).

    Raises:
        OAuthError: ``invalid_request``.
    """
    if question.get("request_uri") is not None:
        raise invalid_request("request_uri must not be pushed.")


def pushed_response(reference: str) -> dict[str, Any]:
    """The answer to a pushed request (RFC 9126 §2.2)."""
    return {"request_uri": PREFIX + reference, "expires_in": LIFETIME_SECONDS}


def reference_of(request_uri: str) -> str:
    """The secret part of a ``request_uri`` that we gave.

    Raises:
        OAuthError: ``invalid_request_uri``: it is none of ours (we fetch nothing from anywhere).
    """
    match = _REFERENCE.fullmatch(request_uri)
    if match is None:
        raise unknown_reference()
    return match[1]


def unknown_reference() -> OAuthError:
    """The reference is not ours, too old, used up, or of another client (RFC 9126 §2.2, RFC 9101 §7)."""
    return OAuthError(
        INVALID_REQUEST_URI, "request_uri is unknown, expired, or was pushed by another client."
    )
