"""The documents that auth_api answers with: people, clients and keys as programs see them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

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
    """Says in the schema that every member but the secret is always there, and none has a default."""
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


def _without_private_members(schema: dict[str, Any]) -> None:
    """Leaves out what the author alone may see."""
    for name in ("clientSecret", "webhookUri"):
        del schema["properties"][name]
    _always_there(schema)


class PublicClientDocument(ClientDocument):
    """A registered client as everyone may see it."""

    model_config = ConfigDict(json_schema_extra=_without_private_members)

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


class WebhookKeyDocument(Document):
    """One version of the keys that sign a client's webhooks."""

    version: int
    secret: Annotated[str, Field(description="checks `v1`: `whsec_` and base64 of the HMAC key")]
    public_key: Annotated[str, Field(description="checks `v1a`: `whpk_` and base64 of the Ed25519 key")]
    ends_on: Milliseconds | None


class WebhookKeysDocument(Document):
    """The keys that sign a client's webhooks, newest first."""

    keys: list[WebhookKeyDocument]
