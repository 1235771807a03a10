"""The documents that auth_api answers with, as the description of the interface tells them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.clients import ClientTexts
from shared.contracts.keys import KeyStatus
from shared.documents import Document, Milliseconds

Permissions = Annotated[list[str], Field(description="names of the catalogue")]


class UserDocument(Document):
    """A person."""

    user_id: int
    username: str


class _ClientHead(Document):
    """The first members of a client, in their order."""

    client_id: str
    client_secret: str | None = None
    name: str | None
    author: int
    redirect_uri: str | None
    redirect_uris: list[str]
    requested_permissions: Permissions


def _always_there(schema: dict[str, Any]) -> None:
    """Tells that every member but the secret is always there, and none has a default."""
    members = schema["properties"]
    for member in members.values():
        member.pop("default", None)
    schema["required"] = [name for name in members if name != "clientSecret"]


class ClientDocument(ClientTexts, _ClientHead):
    """A client as its author sees it; ``clientSecret`` only right after it was made, ``null`` for a public client."""

    model_config = ConfigDict(extra="ignore", json_schema_extra=_always_there)

    name: str
    public: bool
    created_on: Milliseconds


def _for_anybody(schema: dict[str, Any]) -> None:
    """Leaves out what the author alone may see."""
    for name in ("clientSecret", "webhookUri"):
        del schema["properties"][name]
    _always_there(schema)


class PublicClientDocument(ClientDocument):
    """A registered client as anybody may see it."""

    model_config = ConfigDict(json_schema_extra=_for_anybody)

    webhook_uri: str | None = Field(default=None, exclude=True)


class KeyDocument(Document):
    """A key as its owner sees it; never the key itself."""

    key_id: str
    identifier: str
    permissions: Permissions
    from_api_client: str | None
    created_on: Milliseconds
    last_used_on: Milliseconds | None
    expires_on: Milliseconds | None
    status: KeyStatus


class KeyFile(Document):
    """A ready-made configuration file with the key in it."""

    filename: str | None
    content: str


class NewKeyDocument(KeyDocument):
    """A new key, shown this once."""

    token: str
    file: KeyFile | None = None


class TokenDocument(BaseModel):
    """The key (RFC 6749 §5.1); a JSON request is answered with ``success``, ``description`` and ``body`` besides."""

    access_token: str
    token_type: Literal["Bearer"]
    scope: str
    user_id: int = Field(alias="userID")
    identifier: str
    permissions: dict[str, bool]
    from_api_client: str = Field(alias="fromAPIClient")
    key_id: str = Field(alias="keyID")
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
