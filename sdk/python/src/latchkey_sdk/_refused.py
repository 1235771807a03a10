"""How the guard says no: as a status, an error code and headers, for whatever framework answers the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_NO_KEY: Final = "A key is needed: send it as Authorization: Bearer KEY."
_NOT_LIVE: Final = "The key is not live."
_LACKS: Final = "The key lacks a permission that this needs."
_UNKNOWN: Final = "Keys cannot be checked right now."


class Refused(Exception):  # noqa: N818 - it says what is the case
    """A request that must not go on. ``str()`` of it is a sentence that the caller may read; it never quotes the key."""

    def __init__(
        self,
        status: int,
        error: str | None,
        detail: str,
        *,
        retry_after: int | None = None,
        permissions: Sequence[str] = (),
    ) -> None:
        """Applications catch it, and seldom make one; see ``no_key`` and its neighbours."""
        super().__init__(detail)
        self.status = status
        """401 no live key, 403 a permission is missing, 503 it cannot be known right now."""
        self.error = error
        """``invalid_token`` or ``insufficient_scope`` (RFC 6750 §3.1); ``None`` where no key was sent, and for 503."""
        self.retry_after = retry_after
        """With 503: seconds after which another try makes sense."""
        self.permissions = tuple(permissions)
        """With 403: every permission that the request needs."""

    @property
    def headers(self) -> dict[str, str]:
        """What the answer must carry: ``WWW-Authenticate`` (RFC 6750 §3) or ``Retry-After``."""
        if self.retry_after is not None:
            return {"Retry-After": str(self.retry_after)}
        if self.error is None:
            return {"WWW-Authenticate": 'Bearer realm="latchkey"'}
        scope = " ".join(filter(_is_scope_token, self.permissions))
        named = f', scope="{scope}"' if scope else ""
        return {"WWW-Authenticate": f'Bearer error="{self.error}"{named}'}


def no_key() -> Refused:
    """The request carries no key at all: no error code (RFC 6750 §3.1)."""
    return Refused(401, None, _NO_KEY)


def not_live() -> Refused:
    """One answer for everything that is not a live key: malformed, unknown, paused, expired and revoked alike."""
    return Refused(401, "invalid_token", _NOT_LIVE)


def lacks_permission(needed: Sequence[str]) -> Refused:
    """The key is live, but does not carry everything that is needed."""
    return Refused(403, "insufficient_scope", _LACKS, permissions=needed)


def unknown(retry_after: int = 1) -> Refused:
    """Nothing can be said of the key: neither memory nor Latchkey answers."""
    return Refused(503, None, _UNKNOWN, retry_after=retry_after)


def _is_scope_token(name: str) -> bool:
    """RFC 6749 §3.3: visible ASCII without quote and backslash; nothing else may stand in the header."""
    return bool(name) and all("!" <= letter <= "~" and letter not in '"\\' for letter in name)
