"""The device flow (RFC 8628): user codes that people can type, and what a poll is answered."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

from services.auth_api.oauth.errors import ErrorCode, OAuthError, invalid_grant
from shared.user_code import ALPHABET, LENGTH, format_user_code

LIFETIME_SECONDS: Final = 600
INTERVAL_SECONDS: Final = 5

KNOWN: Final = frozenset({"client_id", "client_secret", "scope"})

_ANSWERS: Final[dict[str, tuple[ErrorCode, str]]] = {
    "pending": ("authorization_pending", "The person has not decided yet."),
    "slow_down": ("slow_down", f"Polled faster than every {INTERVAL_SECONDS} seconds."),
    "denied": ("access_denied", "The person declined."),
    "expired": ("expired_token", "The device_code has expired; start again."),
}


def mint_user_code(choose: Callable[[str], str] = secrets.choice) -> str:
    """A new user code without its dash: 8 of 20 letters, 34 bits, for 10 minutes and few guesses."""
    return "".join(choose(ALPHABET) for _ in range(LENGTH))


def device_response(issuer: str, device_code: str, user_code: str) -> dict[str, Any]:
    """The device authorization response (RFC 8628 §3.2)."""
    shown = format_user_code(user_code)
    return {
        "device_code": device_code,
        "user_code": shown,
        "verification_uri": f"{issuer}/device",
        "verification_uri_complete": f"{issuer}/device?user_code={shown}",
        "expires_in": LIFETIME_SECONDS,
        "interval": INTERVAL_SECONDS,
    }


def check_poll(state: str) -> None:
    """Whether a poll is answered with a key (RFC 8628 §3.5). ``state`` is that of the device code.

    Raises:
        OAuthError: ``authorization_pending``, ``slow_down``, ``access_denied`` or ``expired_token``.
    """
    if state in _ANSWERS:
        code, description = _ANSWERS[state]
        raise OAuthError(code, description)


def unknown_device_code(cause: str) -> OAuthError:
    """One answer for every device code that cannot be redeemed, whatever the reason."""
    return invalid_grant(
        "device_code is invalid, already used, or was issued to another client.", cause=cause
    )
