"""Client registration by programs (RFC 7591): which metadata is understood, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from services.auth_api.oauth.client_authentication import METHODS
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.redirect_uri import fault_of_redirect_uri
from services.auth_api.oauth.scope import narrow, parse_scope
from services.auth_api.oauth.token import AUTHORIZATION_CODE, GRANT_TYPES
from shared.documents import MOST_LISTED, Texts

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


class ClientMetadata(BaseModel):
    """RFC 7591 §2; what else it names is ignored."""

    model_config = ConfigDict(strict=True)

    client_name: str | None = None
    client_uri: str | None = None
    scope: str | None = None
    token_endpoint_auth_method: str | None = None
    redirect_uris: Texts | None = None
    grant_types: Texts | None = None
    response_types: Texts | None = None


def read_registration(document: Mapping[str, Any], catalogue: Sequence[str]) -> Registration:
    """Reads client metadata; what we do not support among lists of wishes is left out, as §2 allows.

    Raises:
        OAuthError: ``invalid_redirect_uri`` or ``invalid_client_metadata``, naming the field.
    """
    metadata = _metadata_of(document)
    redirect_uris = tuple(metadata.redirect_uris or ())
    _refuse_wrong_uris(redirect_uris)
    method = metadata.token_endpoint_auth_method or DEFAULT_METHOD
    if method not in METHODS:
        raise _invalid(f"token_endpoint_auth_method must be one of {', '.join(METHODS)}.")
    grant_types = _supported("grant_types", metadata.grant_types or (AUTHORIZATION_CODE,), GRANT_TYPES)
    if AUTHORIZATION_CODE in grant_types:
        if not redirect_uris:
            raise OAuthError("invalid_redirect_uri", "redirect_uris is missing.")
        _supported("response_types", metadata.response_types or ("code",), ("code",))
    return Registration(
        name=metadata.client_name or DEFAULT_NAME,
        redirect_uris=redirect_uris,
        permissions=_permissions(metadata.scope or None, catalogue),
        method=method,
        grant_types=grant_types,
        homepage=metadata.client_uri or None,
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


def _metadata_of(document: Mapping[str, Any]) -> ClientMetadata:
    try:
        return ClientMetadata.model_validate(document)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
    is_text = ClientMetadata.model_fields[name].annotation == str | None
    kind = "text" if is_text else f"a list of at most {MOST_LISTED} texts"
    raise _invalid(f"{name} must be {kind}.")


def _refuse_wrong_uris(uris: Sequence[str]) -> None:
    if len(uris) > MOST_REDIRECT_URIS:
        raise OAuthError("invalid_redirect_uri", f"redirect_uris must be at most {MOST_REDIRECT_URIS}.")
    for uri in uris:
        fault = fault_of_redirect_uri(uri)
        if fault is not None:
            raise OAuthError("invalid_redirect_uri", f"A redirect URI {fault}.")


def _supported(name: str, wished: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    granted = tuple(item for item in known if item in wished)
    if not granted:
        raise _invalid(f"{name} must hold one of {', '.join(known)}.")
    return granted


def _permissions(scope: str | None, catalogue: Sequence[str]) -> tuple[str, ...]:
    try:
        return narrow(parse_scope(scope), catalogue)
    except OAuthError as error:
        raise _invalid(error.description) from None


def _invalid(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)
