"""Proof Key for Code Exchange (RFC 7636): S256 and nothing else."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

from services.auth_api.oauth.errors import invalid_grant, invalid_request

METHOD: Final = "S256"

# fullmatch, never `^…$`: `$` lets a trailing newline through.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


def check_challenge(
    challenge: str | None,
    method: str | None,
    *,
    required: bool,
    names: tuple[str, str] = ("code_challenge", "code_challenge_method"),
) -> str | None:
    """The challenge of an authorization request, or ``None`` where there is none and none is ``required``.

    A missing method means ``plain`` (RFC 7636 §4.3), which is refused as any other than ``S256`` (RFC 9700 §2.1.1);
    a method without a challenge is what a stripped challenge leaves behind. ``names`` are the flow's own of both.

    Raises:
        OAuthError: ``invalid_request`` naming the parameter.
    """
    name, name_of_method = names
    if challenge is None:
        if required:
            raise invalid_request(f"{name} is missing: a public client must use PKCE with {METHOD}.")
        if method is not None:
            raise invalid_request(f"{name} is missing although {name_of_method} was sent.")
        return None
    if method != METHOD:
        raise invalid_request(f"{name_of_method} must be {METHOD}.")
    if not _CHALLENGE.fullmatch(challenge):
        raise invalid_request(f"{name} must be 43 characters of base64url without padding.")
    return challenge


def check_verifier_syntax(verifier: str) -> None:
    """Refuses what no client can have hashed (RFC 7636 §4.1), before any code is looked at.

    Raises:
        OAuthError: ``invalid_request``.
    """
    if not _VERIFIER.fullmatch(verifier):
        raise invalid_request("code_verifier must be 43 to 128 characters of A-Z a-z 0-9 - . _ ~")


def check_verifier(challenge: str | None, verifier: str | None) -> None:
    """Compares the verifier with the challenge of the authorization request (RFC 7636 §4.6).

    A verifier without a challenge is a downgrade: somebody removed the challenge on the way (RFC 9700 §4.8.2).

    Raises:
        OAuthError: ``invalid_grant``.
    """
    if challenge is None:
        if verifier is not None:
            raise invalid_grant(
                "code_verifier was sent, but the authorization request carried no code_challenge.",
                cause="code_verifier sent without a code_challenge in the authorization request (PKCE downgrade)",
            )
        return
    if verifier is None:
        raise invalid_grant(
            "code_verifier is missing.", cause="code_verifier is missing though a challenge was given"
        )
    if not hmac.compare_digest(challenge_of(verifier).encode(), challenge.encode()):
        raise invalid_grant(
            "code_verifier does not match the code_challenge.", cause="verifier does not match the challenge"
        )


def challenge_of(verifier: str) -> str:
    """``BASE64URL(SHA256(verifier))`` without padding (RFC 7636 §4.2)."""
    return urlsafe_b64encode(sha256(verifier.encode("ascii", "replace")).digest()).rstrip(b"=").decode()
