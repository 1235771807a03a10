"""Client authentication: which client speaks, and by which one method it proves it (RFC 6749 §2.3, §3.2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from services.auth_api.oauth.errors import OAuthError, invalid_client, invalid_request
from services.auth_api.oauth.parameters import Parameters
from shared.api_key import basic_credentials

CHALLENGE: Final = 'Basic realm="latchkey", charset="UTF-8"'
"""What every 401 says in ``WWW-Authenticate`` (RFC 6749 §5.2, RFC 7617 §2)."""

METHODS: Final = ("client_secret_basic", "client_secret_post", "none")


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a request says of its client; nothing is proven yet. ``secret`` is ``None`` where none was sent."""

    client_id: str
    secret: str | None = field(repr=False)


def read_client_credentials(authorization: Sequence[str], parameters: Parameters) -> ClientCredentials:
    """The client and its secret from the ``Authorization`` headers and the body.

    Raises:
        OAuthError: ``invalid_request`` where two identities or two methods are used at once, ``invalid_client``
            where the header is malformed or no client is named.
    """
    basic = _read_basic(authorization)
    body_id, body_secret = parameters.get("client_id"), parameters.get("client_secret")
    if basic is None:
        if body_id is None:
            error = invalid_client("client_id is missing")
            raise OAuthError(
                error.code, "Client authentication failed: client_id is missing.", cause=error.cause
            )
        return ClientCredentials(body_id, body_secret)
    basic_id, basic_secret = basic
    if basic_secret is not None and body_secret is not None:
        raise invalid_request(
            "client_secret is sent in the Authorization header and in the body; use one of them.",
            cause="two client authentication methods in one request",
        )
    if body_id not in (None, basic_id):
        raise invalid_request(
            "client_id differs between the Authorization header and the body.",
            cause="client_id of HTTP Basic differs from client_id in the body",
        )
    return ClientCredentials(basic_id, basic_secret or body_secret)


def check_secret_use(*, public: bool, secret: str | None) -> None:
    """Whether a client of this kind may come with, or without, a secret.

    Raises:
        OAuthError: ``invalid_client``; the public answer does not tell the kinds apart.
    """
    if public and secret is not None:
        raise invalid_client("a public client sent a client_secret")
    if not public and secret is None:
        raise invalid_client("client_secret is missing")


def _read_basic(authorization: Sequence[str]) -> tuple[str, str | None] | None:
    """The halves of HTTP Basic; an empty password counts as none."""
    if not authorization:
        return None
    if len(authorization) > 1:
        raise invalid_request("The Authorization header must not be sent more than once.")
    try:
        client_id, secret = basic_credentials(authorization[0])
    except ValueError as error:
        raise invalid_client(f"the Authorization header is malformed: {error}") from None
    return client_id, secret or None
