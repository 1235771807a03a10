"""The login challenge: everything that has to be known of a sign-in under way, signed, so that nothing is kept for it.

It goes through the browser to the site's own login. It names the browser that began (by the digest of a secret in that
browser's cookie), the client that waits, and its end. Whoever reads it learns no secret: the answer's address holds one
more, which only the server can compute.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from shared.secret_tokens import keyed_digest, same_digest

LIFETIME_SECONDS: Final = 600
LONGEST: Final = 600
_PURPOSE: Final = "login challenge"
_ANSWERED: Final = "login answered"
_SIGNED: Final = re.compile(r"([0-9a-f]{64})\.([0-9A-Za-z_-]{1,500})", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A sign-in that a browser has begun."""

    browser: str
    """The digest of the secret that this browser alone holds."""
    expires_on: int
    """Unix milliseconds."""
    client_id: str | None
    """The app that waits for it, if one does."""


def sign_challenge(secret: bytes, request: LoginRequest) -> str:
    """The challenge of a sign-in: letters, digits, ``-``, ``_`` and one dot, at most ``LONGEST``."""
    carried = orjson.dumps([request.browser, request.expires_on, request.client_id])
    text = base64.urlsafe_b64encode(carried).decode().rstrip("=")
    return f"{keyed_digest(secret, _PURPOSE, text)}.{text}"


def read_challenge(secrets: Sequence[bytes], challenge: str) -> LoginRequest | None:
    """The sign-in that one of ``secrets`` has signed, over or not; ``None`` for every other text."""
    found = _SIGNED.fullmatch(challenge)
    if found is None:
        return None
    if not any(same_digest(keyed_digest(secret, _PURPOSE, found[2]), found[1]) for secret in secrets):
        return None
    try:
        browser, expires_on, client_id = orjson.loads(
            base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
        )
    except (binascii.Error, ValueError):
        return None
    return LoginRequest(browser, expires_on, client_id)


def verifier_of(secret: bytes, challenge: str) -> str:
    """The secret in the address to which the site sends the browser back: nobody can tell it from the challenge."""
    return keyed_digest(secret, _ANSWERED, challenge)


def is_verifier(secrets: Sequence[bytes], challenge: str, verifier: str) -> bool:
    """Whether this came with an answer of ours to the site."""
    return any(same_digest(verifier_of(secret, challenge), verifier) for secret in secrets)
