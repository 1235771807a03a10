"""The authorization response: what is appended to the redirect URI (RFC 6749 §4.1.2, RFC 9207 §2)."""

from __future__ import annotations

from services.auth_api.oauth.errors import ACCESS_DENIED, OAuthError

Pairs = tuple[tuple[str, str], ...]


def accepted(issuer: str, *, state: str | None, context: str | None) -> Pairs:
    """What follows ``code`` after Accept: ``state`` and ``context`` as they were given, and ``iss``."""
    return (*_carried(state, context), ("iss", issuer))


def declined(issuer: str, *, state: str | None, context: str | None) -> Pairs:
    """The answer after Decline (RFC 6749 §4.1.2.1)."""
    return (("error", ACCESS_DENIED), *_carried(state, context), ("iss", issuer))


def refused(error: OAuthError, issuer: str, *, state: str | None, context: str | None) -> Pairs:
    """The answer to a request that breaks a rule (RFC 6749 §4.1.2.1)."""
    return (
        ("error", error.code),
        ("error_description", error.description.replace('"', "'")),
        *_carried(state, context),
        ("iss", issuer),
    )


def _carried(state: str | None, context: str | None) -> Pairs:
    given = (("state", state), ("context", context))
    return tuple((name, value) for name, value in given if value is not None)
