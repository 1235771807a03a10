"""The documents that auth_api answers with, as the description of the interface tells them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Milliseconds = Annotated[int, Field(description="Unix time in milliseconds")]
Permissions = Annotated[list[str], Field(description="names of the catalogue")]


class UserDocument(BaseModel):
    """A person."""

    userID: int  # noqa: N815 - the public name
    username: str


class PublicClientDocument(BaseModel):
    """A registered client as anybody may see it."""

    clientID: str  # noqa: N815 - the public name
    name: str
    author: int
    redirectUri: str | None  # noqa: N815 - the public name
    redirectUris: list[str]  # noqa: N815 - the public name
    requestedPermissions: Permissions  # noqa: N815 - the public name
    apiKeyFormat: str | None  # noqa: N815 - the public name
    apiKeyFilename: str | None  # noqa: N815 - the public name
    homepage: str | None
    description: str | None
    public: bool
    createdOn: Milliseconds  # noqa: N815 - the public name


class ClientDocument(PublicClientDocument):
    """A client as its author sees it; ``clientSecret`` only right after it was made, ``null`` for a public client."""

    webhookUri: str | None  # noqa: N815 - the public name
    clientSecret: str | None = None  # noqa: N815 - the public name


class KeyDocument(BaseModel):
    """A key as its owner sees it; never the key itself."""

    keyID: str  # noqa: N815 - the public name
    identifier: str
    permissions: Permissions
    fromAPIClient: str | None  # noqa: N815 - the public name
    createdOn: Milliseconds  # noqa: N815 - the public name
    lastUsedOn: Milliseconds | None  # noqa: N815 - the public name
    expiresOn: Milliseconds | None  # noqa: N815 - the public name
    status: Literal["active", "paused", "expired", "revoked"]


class KeyFile(BaseModel):
    """A ready-made configuration file with the key in it."""

    filename: str | None
    content: str


class NewKeyDocument(KeyDocument):
    """A new key, shown this once."""

    token: str
    file: KeyFile | None = None


class AppDocument(BaseModel):
    """A client that holds a key or a standing consent of the person."""

    clientID: str  # noqa: N815 - the public name
    name: str
    permissions: Permissions
    firstGrantedOn: Milliseconds  # noqa: N815 - the public name
    lastUsedOn: Milliseconds | None  # noqa: N815 - the public name
    keys: int


class CodeDocument(BaseModel):
    """A one-time code and where to send the person with it."""

    code: str
    userID: int  # noqa: N815 - the public name
    createdOn: Milliseconds  # noqa: N815 - the public name
    expiresIn: int  # noqa: N815 - the public name
    redirectTo: str  # noqa: N815 - the public name


class TokenDocument(BaseModel):
    """The key (RFC 6749 §5.1); a JSON request is answered with ``success``, ``description`` and ``body`` besides."""

    access_token: str
    token_type: Literal["Bearer"]
    scope: str
    userID: int  # noqa: N815 - the public name
    identifier: str
    permissions: dict[str, bool]
    fromAPIClient: str  # noqa: N815 - the public name
    keyID: str  # noqa: N815 - the public name
    expires_in: int | None = None


class PushedRequestDocument(BaseModel):
    """RFC 9126 §2.2."""

    request_uri: str
    expires_in: int


class DeviceDocument(BaseModel):
    """RFC 8628 §3.2."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class AttemptDocument(BaseModel):
    """One authorize or token attempt of a client, redacted, with its exact cause."""

    on: Milliseconds
    step: str
    result: Literal["ok", "refused"]
    error: str | None
    cause: str
    requestID: str  # noqa: N815 - the public name


class TokenForm(BaseModel):
    """RFC 6749 §4.1.3 and RFC 8628 §3.4."""

    grant_type: str
    code: str | None = None
    redirect_uri: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    code_verifier: str | None = None
    device_code: str | None = None


class RevocationForm(BaseModel):
    """RFC 7009 §2.1."""

    token: str
    token_type_hint: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


class PushedRequestForm(BaseModel):
    """RFC 9126 §2.1: what the authorization endpoint takes, and the client's authentication."""

    response_type: str
    client_id: str | None = None
    client_secret: str | None = None
    redirect_uri: str | None = None
    scope: str | None = None
    state: str | None = None
    context: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str | None = None


class DeviceForm(BaseModel):
    """RFC 8628 §3.1."""

    client_id: str | None = None
    client_secret: str | None = None
    scope: str | None = None


class RegistrationBody(BaseModel):
    """RFC 7591 §2; what else it names is ignored."""

    redirect_uris: list[str]
    client_name: str | None = None
    client_uri: str | None = None
    scope: str | None = None
    token_endpoint_auth_method: str | None = None
    grant_types: list[str] | None = None
    response_types: list[str] | None = None
