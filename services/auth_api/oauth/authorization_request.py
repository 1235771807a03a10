"""The authorization request (RFC 6749 §4.1.1): first who asks and where the answer goes, then everything else.

The order matters: until client and redirect URI are known good, an error is a page of ours and never a redirect
(RFC 6749 §4.1.2.1, RFC 9700 §4.11.2).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import orjson

from services.auth_api.oauth.errors import OAuthError, invalid_request, invalid_scope
from services.auth_api.oauth.parameters import Parameters, collect
from services.auth_api.oauth.pkce import check_challenge
from services.auth_api.oauth.redirect_uri import explain_mismatch, match_redirect_uri
from services.auth_api.oauth.scope import narrow, parse_scope
from shared.contracts.authorization import CARRIED
from shared.contracts.clients import ClientView
from shared.secret_tokens import digest_of

ParameterNames = Mapping[str, str]
"""The RFC's name of a parameter → how a flow spells it; what a flow does not spell it does not know."""

AUTHORIZE: Final[ParameterNames] = MappingProxyType({name: name for name in CARRIED["authorize"]})
REQUEST_AUTH: Final[ParameterNames] = MappingProxyType(
    {
        "client_id": "clientID",
        "redirect_uri": "redirectUri",
        "state": "state",
        "context": "context",
        "code_challenge": "codeChallenge",
        "code_challenge_method": "codeChallengeMethod",
    }
)
CREATE_CODE: Final[ParameterNames] = MappingProxyType({**REQUEST_AUTH, "scope": "permissions"})


@dataclass(frozen=True, slots=True)
class AuthorizationParameters:
    """The parameters of one request as its flow spells them; asked for by the RFC's names."""

    sent: Parameters
    names: ParameterNames

    def get(self, name: str) -> str | None:
        """The value, or ``None`` where the parameter is absent, empty or repeated."""
        return self.sent.get(self.name_of(name))

    def require(self, name: str) -> str:
        """The value.

        Raises:
            OAuthError: ``invalid_request`` naming the parameter.
        """
        return self.sent.require(self.name_of(name))

    def name_of(self, name: str) -> str:
        """The flow's spelling of the RFC's name."""
        return self.names.get(name, name)

    def refuse_repeated(self, name: str) -> None:
        """Refuses a request that carries this parameter more than once.

        Raises:
            OAuthError: ``invalid_request`` naming the parameter.
        """
        if self.name_of(name) in self.sent.repeated:
            raise invalid_request(f"{self.name_of(name)} must not be sent more than once.")


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

    @property
    def passing(self) -> str:
        """A digest of what only passes through: ``state`` and ``context``."""
        return digest_of(orjson.dumps([self.state, self.context]).decode())

    def without_passing(self) -> AuthorizationRequest:
        """The request without what only passes through, and so of a size that its author does not choose."""
        return replace(self, state=None, context=None)

    def with_passing(self, parameters: AuthorizationParameters) -> AuthorizationRequest:
        """The request with what passes through as it is in these parameters."""
        return replace(self, state=parameters.get("state"), context=parameters.get("context"))


def sort_parameters(pairs: Iterable[tuple[str, str]], names: ParameterNames) -> AuthorizationParameters:
    """Sorts the pairs of a query by the names that the flow knows."""
    return AuthorizationParameters(collect(pairs, frozenset(names.values())), names)


def client_id_of(parameters: AuthorizationParameters) -> str:
    """Which client asks.

    Raises:
        OAuthError: ``invalid_request``, to be shown as a page.
    """
    parameters.refuse_repeated("client_id")
    return parameters.require("client_id")


def target_of(parameters: AuthorizationParameters, client: ClientView) -> Target:
    """Where the answer goes: the request's redirect URI if it is registered, else the first registered one.

    Raises:
        OAuthError: ``invalid_request``, to be shown as a page.
    """
    parameters.refuse_repeated("redirect_uri")
    if not client.redirect_uris:
        raise invalid_request(
            "This client has no redirect URI: it can be used with the file and device flows only.",
            cause="the client has no redirectUris; the file and device flows work without",
        )
    requested = parameters.get("redirect_uri")
    if requested is None:
        return Target(client.redirect_uris[0], sent=False)
    matched = match_redirect_uri(client.redirect_uris, requested)
    if matched is None:
        raise invalid_request(
            f"{parameters.name_of('redirect_uri')} is not one that the client registered.",
            cause=explain_mismatch(client.redirect_uris, requested),
        )
    return Target(matched, sent=True)


def check_request(
    parameters: AuthorizationParameters, client: ClientView, target: Target, catalogue: Collection[str]
) -> AuthorizationRequest:
    """Everything else about a request whose client and target are good.

    Raises:
        OAuthError: to be sent to the target (RFC 6749 §4.1.2.1).
    """
    parameters.sent.refuse_repeated()
    _refuse_unsupported(parameters)
    challenge = check_challenge(
        parameters.get("code_challenge"),
        parameters.get("code_challenge_method"),
        required=client.public,
        names=(parameters.name_of("code_challenge"), parameters.name_of("code_challenge_method")),
    )
    scope = parameters.name_of("scope")
    permissions = narrow(
        parse_scope(parameters.get("scope"), name=scope), client.requested_permissions, name=scope
    )
    check_permissions(permissions, client.requested_permissions, catalogue)
    return AuthorizationRequest(
        client_id=client.client_id,
        target=target,
        permissions=permissions,
        state=parameters.get("state"),
        context=parameters.get("context"),
        challenge=challenge,
        silent=parameters.get("prompt") == "none",
    )


def check_permissions(
    permissions: Collection[str], registered: Collection[str], catalogue: Collection[str]
) -> None:
    """Whether the client still registers, and the site still has, all that is asked for.

    Raises:
        OAuthError: ``invalid_scope``.
    """
    if any(name not in registered or name not in catalogue for name in permissions):
        raise invalid_scope(
            "A permission of this request is no longer available.",
            cause="a requested permission was removed from the client or from the catalogue",
        )


def authorization_response(
    issuer: str,
    *,
    state: str | None,
    context: str | None,
    error: str | None = None,
    description: str | None = None,
) -> tuple[tuple[str, str], ...]:
    """What is appended to the redirect URI, after ``code`` on success (RFC 6749 §4.1.2, §4.1.2.1, RFC 9207 §2).

    ``state`` and ``context`` come back as they were given.
    """
    pairs = (
        ("error", error),
        ("error_description", description),
        ("state", state),
        ("context", context),
        ("iss", issuer),
    )
    return tuple((name, value) for name, value in pairs if value is not None)


def _refuse_unsupported(parameters: AuthorizationParameters) -> None:
    if "response_type" in parameters.names and parameters.require("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type must be code.")
    if parameters.get("request") is not None:
        raise OAuthError("request_not_supported", "request objects (RFC 9101) are not supported; use PAR.")
    if parameters.get("response_mode") not in (None, "query"):
        raise invalid_request("response_mode must be query, or absent.")
    words = (parameters.get("prompt") or "").split(" ")
    if "none" in words and len(words) > 1:
        raise invalid_request("prompt must not combine none with another value.")
