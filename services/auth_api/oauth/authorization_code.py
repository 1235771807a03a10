"""The one-time code: what it is bound to, and the checks before it is spent (RFC 6749 §4.1.2, §4.1.3)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from services.auth_api.oauth.errors import OAuthError, invalid_grant
from services.auth_api.oauth.pkce import check_verifier

CodeKind = Literal["code", "device", "file"]

MOST_MISMATCHES: Final = 5
"""How many wrong redirect URIs or verifiers the right client may send with one code before the code is dead.

RFC 9700 §2.1.1 leaves it open whether a failed check spends the code. Spending it at once would let anybody who saw a
code of a public client (which proves nothing but by its verifier) kill it; so failures of a public client are counted
per peer and those of a confidential one, which has authenticated, per code.
"""


@dataclass(frozen=True, slots=True)
class CodeRecord:
    """What a code stands for: fixed when the person consents, never changed. Times are Unix milliseconds."""

    kind: CodeKind
    client_id: str
    user_id: int
    username: str
    permissions: tuple[str, ...]
    consented_on: int
    redirect_uri: str | None = None
    redirect_uri_sent: bool = False
    challenge: str | None = None
    label: str | None = None
    """What the person calls the device or place that the key is for; where not given the key is called as its client."""

    def to_bytes(self) -> bytes:
        """As it is kept in Redis."""
        return orjson.dumps(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> CodeRecord:
        """Reads ``to_bytes`` back; fields that a newer version added are ignored."""
        values: dict[str, Any] = orjson.loads(raw)
        values["permissions"] = tuple(values["permissions"])
        try:
            return cls(**values)
        except TypeError:
            return cls(**{name: value for name, value in values.items() if name in cls.__annotations__})


@dataclass(frozen=True, slots=True)
class Redemption:
    """What the token request says about the code that it presents."""

    client_id: str
    redirect_uri: str | None
    verifier: str | None


class WrongClientError(OAuthError):
    """The code was given to another client: nothing is spent, nothing is counted against the code."""

    def __init__(self) -> None:
        """The public answer is that of any other bad code."""
        error = unknown_code("the code was issued to another client")
        super().__init__(error.code, error.description, cause=error.cause)


def unknown_code(cause: str) -> OAuthError:
    """One answer for every code that cannot be redeemed, whatever the reason."""
    return invalid_grant(
        "code is invalid, expired, already used, or was issued to another client.", cause=cause
    )


def check_binding(record: CodeRecord, redemption: Redemption) -> None:
    """Whether this request is the one that the code was made for.

    Raises:
        OAuthError: ``invalid_grant``; a ``WrongClientError`` where even the client differs.
    """
    for check in _CHECKS:
        check(record, redemption)


def _same_client(record: CodeRecord, redemption: Redemption) -> None:
    if record.client_id != redemption.client_id:
        raise WrongClientError


def _same_redirect_uri(record: CodeRecord, redemption: Redemption) -> None:
    given = redemption.redirect_uri
    if given is None:
        if record.redirect_uri_sent:
            raise invalid_grant(
                "redirect_uri is missing: the authorization request carried one.",
                cause="redirect_uri is missing though the authorization request carried one",
            )
    elif not hmac.compare_digest(given.encode(), (record.redirect_uri or "").encode()):
        raise invalid_grant(
            "redirect_uri is not that of the authorization request.",
            cause="redirect_uri differs from that of the authorization request",
        )


def _same_secret_holder(record: CodeRecord, redemption: Redemption) -> None:
    check_verifier(record.challenge, redemption.verifier)


_CHECKS: Final[tuple[Callable[[CodeRecord, Redemption], None], ...]] = (
    _same_client,
    _same_redirect_uri,
    _same_secret_holder,
)
