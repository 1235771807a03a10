"""Client registration by programs (RFC 7591): which metadata is understood, and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.auth_api.oauth.client_authentication import METHODS
from services.auth_api.oauth.errors import INVALID_CLIENT_METADATA, INVALID_REDIRECT_URI, OAuthError
from services.auth_api.oauth.redirect_uri import fault_of_redirect_uri
from services.auth_api.oauth.scope import narrow, parse_scope
from services.auth_api.oauth.token_request import AUTHORIZATION_CODE, GRANT_TYPES

DEFAULT_METHOD: Final = METHODS[0]
DEFAULT_NAME: Final = "Unnamed app"
MOST_REDIRECT_URIS: Final = 10


@dataclass(frozen=True, slots=True)
class Registration:
    """The metadata of a new client as far as it counts here; everything else was ignored (RFC 7591 §2)."""

    name: str
    redirect_uris: tuple[str, ...]
    permissions: tuple[str, ...]
    method: str
    grant_types: tuple[str, ...]
    homepage: str | None

    @property
    def public(self) -> bool:
        """Whether the client has no secret."""
        return self.method == "none"


def read_registration(document: Mapping[str, Any], catalogue: Sequence[str]) -> Registration:
    """Reads client metadata; what we do not support among lists of wishes is left out, as §2 allows.

    Raises:
        OAuthError: ``invalid_redirect_uri`` or ``invalid_client_metadata``, naming the field.
    """
    for check in _CHECKS:
        check(document)
    grant_types = _supported(document, "grant_types", (AUTHORIZATION_CODE,), GRANT_TYPES)
    redirect_uris = tuple(document.get("redirect_uris") or ())
    if AUTHORIZATION_CODE in grant_types and not redirect_uris:
        raise OAuthError(INVALID_REDIRECT_URI, "redirect_uris is missing.")
    if AUTHORIZATION_CODE in grant_types:
        _supported(document, "response_types", ("code",), ("code",))
    return Registration(
        name=document.get("client_name") or DEFAULT_NAME,
        redirect_uris=redirect_uris,
        permissions=_permissions(document, catalogue),
        method=document.get("token_endpoint_auth_method") or DEFAULT_METHOD,
        grant_types=grant_types,
        homepage=document.get("client_uri") or None,
    )


def registration_response(
    registration: Registration, *, client_id: str, client_secret: str | None, issued_on: int
) -> dict[str, Any]:
    """The client information response (RFC 7591 §3.2.1). ``issued_on`` in Unix milliseconds."""
    response: dict[str, Any] = {
        "client_id": client_id,
        "client_id_issued_at": issued_on // 1000,
        "client_name": registration.name,
        "redirect_uris": list(registration.redirect_uris),
        "grant_types": list(registration.grant_types),
        "response_types": ["code"] if AUTHORIZATION_CODE in registration.grant_types else [],
        "token_endpoint_auth_method": registration.method,
        "scope": " ".join(registration.permissions),
    }
    if registration.homepage is not None:
        response["client_uri"] = registration.homepage
    if client_secret is not None:
        response |= {"client_secret": client_secret, "client_secret_expires_at": 0}
    return response


def _texts_are_text(document: Mapping[str, Any]) -> None:
    for name in ("client_name", "client_uri", "scope", "token_endpoint_auth_method"):
        if not isinstance(document.get(name), str | None):
            raise _invalid(f"{name} must be text.")


def _lists_are_lists(document: Mapping[str, Any]) -> None:
    for name in ("redirect_uris", "grant_types", "response_types"):
        value = document.get(name)
        if value is not None and not (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            raise _invalid(f"{name} must be a list of texts.")


def _redirect_uris_are_allowed(document: Mapping[str, Any]) -> None:
    uris = document.get("redirect_uris") or []
    if len(uris) > MOST_REDIRECT_URIS:
        raise OAuthError(INVALID_REDIRECT_URI, f"redirect_uris must be at most {MOST_REDIRECT_URIS}.")
    for uri in uris:
        fault = fault_of_redirect_uri(uri)
        if fault is not None:
            raise OAuthError(INVALID_REDIRECT_URI, f"A redirect URI {fault}.")


def _method_is_supported(document: Mapping[str, Any]) -> None:
    if (document.get("token_endpoint_auth_method") or DEFAULT_METHOD) not in METHODS:
        raise _invalid(f"token_endpoint_auth_method must be one of {', '.join(METHODS)}.")


_CHECKS: Final[tuple[Callable[[Mapping[str, Any]], None], ...]] = (
    _texts_are_text,
    _lists_are_lists,
    _redirect_uris_are_allowed,
    _method_is_supported,
)


def _supported(
    document: Mapping[str, Any], name: str, default: tuple[str, ...], known: tuple[str, ...]
) -> tuple[str, ...]:
    wished = document.get(name) or default
    granted = tuple(item for item in known if item in wished)
    if not granted:
        raise _invalid(f"{name} must hold one of {', '.join(known)}.")
    return granted


def _permissions(document: Mapping[str, Any], catalogue: Sequence[str]) -> tuple[str, ...]:
    try:
        return narrow(parse_scope(document.get("scope") or None), catalogue)
    except OAuthError as error:
        raise _invalid(error.description) from None


def _invalid(description: str) -> OAuthError:
    return OAuthError(INVALID_CLIENT_METADATA, description)
