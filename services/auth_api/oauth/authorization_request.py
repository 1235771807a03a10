"""The authorization request (RFC 6749 §4.1.1): first who asks and where the answer goes, then everything else.

The order matters: until client and redirect URI are known good, an error is a page of ours and never a redirect
(RFC 6749 §4.1.2.1, RFC 9700 §4.11.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from services.auth_api.oauth import pkce
from services.auth_api.oauth.errors import (
    INVALID_SCOPE,
    REQUEST_NOT_SUPPORTED,
    UNSUPPORTED_RESPONSE_TYPE,
    OAuthError,
    invalid_request,
)
from services.auth_api.oauth.parameters import Parameters, collect
from services.auth_api.oauth.redirect_uri import explain_mismatch, match_redirect_uri
from services.auth_api.oauth.scope import narrow, parse_scope

Spelling = Mapping[str, str]
"""The RFC's name of a parameter → how a surface spells it; what a surface does not spell it does not know."""

AUTHORIZE: Final[Spelling] = MappingProxyType(
    {
        name: name
        for name in (
            "client_id",
            "redirect_uri",
            "response_type",
            "response_mode",
            "scope",
            "state",
            "context",
            "code_challenge",
            "code_challenge_method",
            "prompt",
            "request",
            "request_uri",
        )
    }
)
REQUEST_AUTH: Final[Spelling] = MappingProxyType(
    {
        "client_id": "clientID",
        "redirect_uri": "redirectUri",
        "state": "state",
        "context": "context",
        "code_challenge": "codeChallenge",
        "code_challenge_method": "codeChallengeMethod",
    }
)
CREATE_CODE: Final[Spelling] = MappingProxyType({**REQUEST_AUTH, "scope": "permissions"})


class AskingClient(Protocol):
    """What the rules need to know of a registered client."""

    @property
    def client_id(self) -> str:
        """Its public id."""
        ...

    @property
    def public(self) -> bool:
        """Whether it has no secret and must use PKCE."""
        ...

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """The registered ones, the default first."""
        ...

    @property
    def requested_permissions(self) -> tuple[str, ...]:
        """All it may ask for."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """The parameters of one request as its surface spelled them."""

    parameters: Parameters
    spelling: Spelling

    def get(self, name: str) -> str | None:
        """The value of a parameter by the RFC's name."""
        return self.parameters.get(self.spell(name))

    def spell(self, name: str) -> str:
        """The surface's spelling of the RFC's name."""
        return self.spelling.get(name, name)

    def is_repeated(self, name: str) -> bool:
        """Whether the parameter was sent more than once."""
        return self.spell(name) in self.parameters.repeated


@dataclass(frozen=True, slots=True)
class Target:
    """Where the answer to a request goes: verified."""

    redirect_uri: str
    sent: bool
    """The request carried it; the token request must then repeat it (RFC 6749 §4.1.3)."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may be put to the person."""

    client_id: str
    target: Target | None
    """``None`` for the flows that end on our own pages."""
    permissions: tuple[str, ...]
    state: str | None = None
    context: str | None = None
    challenge: str | None = None
    silent: bool = False
    """``prompt=none``: answer without showing a page."""


def read_question(pairs: Iterable[tuple[str, str]], spelling: Spelling) -> Question:
    """Sorts the pairs of a query by the surface's spelling."""
    return Question(collect(pairs, frozenset(spelling.values())), spelling)


def client_id_of(question: Question) -> str:
    """Who asks.

    Raises:
        OAuthError: ``invalid_request``, to be shown as a page.
    """
    name = question.spell("client_id")
    if question.is_repeated("client_id"):
        raise invalid_request(f"{name} must not be sent more than once.")
    return question.parameters.require(name)


def target_of(question: Question, client: AskingClient) -> Target:
    """Where the answer goes: the request's redirect URI if it is registered, else the first registered one.

    Raises:
        OAuthError: ``invalid_request``, to be shown as a page.
    """
    name = question.spell("redirect_uri")
    if question.is_repeated("redirect_uri"):
        raise invalid_request(f"{name} must not be sent more than once.")
    if not client.redirect_uris:
        raise invalid_request(
            "This client has no redirect URI: it can be used with the file and device flows only.",
            cause="the client has no redirectUris; the file and device flows work without",
        )
    requested = question.get("redirect_uri")
    if requested is None:
        return Target(client.redirect_uris[0], sent=False)
    matched = match_redirect_uri(client.redirect_uris, requested)
    if matched is None:
        raise invalid_request(
            f"{name} is not one that the client registered.",
            cause=explain_mismatch(client.redirect_uris, requested),
        )
    return Target(matched, sent=True)


def check_request(question: Question, client: AskingClient, target: Target | None) -> AuthorizationRequest:
    """Everything else about a request whose client and target are good.

    Raises:
        OAuthError: to be sent to the target, where there is one (RFC 6749 §4.1.2.1).
    """
    for check in _CHECKS:
        check(question)
    scope = question.spell("scope")
    challenge = None
    if target is not None:
        challenge = pkce.check_challenge(
            question.get("code_challenge"),
            question.get("code_challenge_method"),
            required=client.public,
            names=pkce.ParameterNames(
                question.spell("code_challenge"), question.spell("code_challenge_method")
            ),
        )
    return AuthorizationRequest(
        client_id=client.client_id,
        target=target,
        permissions=narrow(
            parse_scope(question.get("scope"), name=scope), client.requested_permissions, name=scope
        ),
        state=question.get("state"),
        context=question.get("context"),
        challenge=challenge,
        silent=question.get("prompt") == "none",
    )


def check_permissions(
    question: AuthorizationRequest, registered: tuple[str, ...], known: Iterable[str]
) -> AuthorizationRequest:
    """The request again at the moment of consent: nothing it asks for was taken away meanwhile.

    Raises:
        OAuthError: ``invalid_scope``.
    """
    catalogue = frozenset(known)
    if any(name not in registered or name not in catalogue for name in question.permissions):
        raise OAuthError(
            INVALID_SCOPE,
            "A permission of this request is no longer available.",
            cause="a requested permission was removed from the client or from the catalogue",
        )
    return question


def _nothing_repeated(question: Question) -> None:
    question.parameters.refuse_repeated()


def _no_request_object(question: Question) -> None:
    if question.get("request") is not None:
        raise OAuthError(REQUEST_NOT_SUPPORTED, "request objects (RFC 9101) are not supported; use PAR.")


def _response_type_is_code(question: Question) -> None:
    if "response_type" not in question.spelling:
        return
    response_type = question.parameters.require("response_type")
    if response_type != "code":
        raise OAuthError(UNSUPPORTED_RESPONSE_TYPE, "response_type must be code.")


def _response_mode_is_query(question: Question) -> None:
    if question.get("response_mode") not in (None, "query"):
        raise invalid_request("response_mode must be query, or absent.")


def _prompt_is_consistent(question: Question) -> None:
    words = (question.get("prompt") or "").split(" ")
    if "none" in words and len(words) > 1:
        raise invalid_request("prompt must not combine none with another value.")


_CHECKS: Final[tuple[Callable[[Question], None], ...]] = (
    _nothing_repeated,
    _response_type_is_code,
    _no_request_object,
    _response_mode_is_query,
    _prompt_is_consistent,
)
