"""The one-time code: what it is bound to, and the checks before it is spent (RFC 6749 §4.1.2, §4.1.3)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import orjson

from services.auth_api.oauth.errors import OAuthError, invalid_grant
from services.auth_api.oauth.pkce import challenge_of, check_verifier
from services.auth_api.oauth.redirect_uri import match_redirect_uri
from shared.secret_tokens import digest_of

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
    external_issuer: str | None = None
    external_user: str | None = None
    """Who the person is to the site, as ``SessionUser`` says."""

    def to_bytes(self) -> bytes:
        """As it is kept in Redis, and as the command to make its key takes it along."""
        return orjson.dumps({**asdict(self), "binding": self.binding})

    @classmethod
    def from_bytes(cls, raw: bytes) -> CodeRecord:
        """Reads ``to_bytes`` back; fields that a newer version added are ignored."""
        values: dict[str, Any] = orjson.loads(raw)
        values["permissions"] = tuple(values["permissions"])
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    @property
    def binding(self) -> dict[str, str]:
        """What a token request is compared with, by name; see ``Redemption.binding``."""
        return {
            "kind": self.kind,
            "client_id": self.client_id,
            "redirect_uri": "" if self.redirect_uri is None else digest_of(self.redirect_uri),
            "redirect_uri_optional": "" if self.redirect_uri_sent else "yes",
            "challenge": self.challenge or "",
        }


@dataclass(frozen=True, slots=True)
class Redemption:
    """What the token request says about the code that it presents."""

    client_id: str
    redirect_uri: str | None
    verifier: str | None
    kind: CodeKind = "code"

    @property
    def binding(self) -> dict[str, str]:
        """Names and values that must all be found in the code's own binding.

        Whoever keeps the code compares them without knowing what they mean; ``check_binding`` says it in words, and
        the two agree (RFC 6749 §4.1.3, RFC 7636 §4.6).
        """
        verifier, uri = self.verifier, self.redirect_uri
        return {
            "kind": self.kind,
            "client_id": self.client_id,
            "challenge": "" if verifier is None else challenge_of(verifier),
            **({"redirect_uri_optional": "yes"} if uri is None else {"redirect_uri": digest_of(uri)}),
        }


class WrongClientError(OAuthError):
    """The code was given to another client: nothing is spent, nothing is counted against the code."""


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
        error = unknown_code("the code was issued to another client")
        raise WrongClientError(error.code, error.description, cause=error.cause)


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


def check_still_allowed(
    record: CodeRecord, redirect_uris: Sequence[str], permissions: Container[str]
) -> None:
    """Whether what the person agreed to still exists: the redirect URI of the client, every permission of the site.

    Raises:
        OAuthError: ``invalid_grant``.
    """
    if record.redirect_uri is not None and match_redirect_uri(redirect_uris, record.redirect_uri) is None:
        raise unknown_code("the redirect URI that the code was sent to is not registered any more")
    for permission in record.permissions:
        if permission not in permissions:
            raise unknown_code(f"the permission {permission} does not exist any more")


def circumstances(redirect_uris: Sequence[str], permissions: Iterable[str]) -> str:
    """A digest that changes with whatever ``check_still_allowed`` looks at: while it is the same, so is the answer."""
    return digest_of("\n".join((*redirect_uris, "", *permissions)))[:32]
