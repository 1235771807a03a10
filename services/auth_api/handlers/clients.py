"""`/api/v1/clients`: the author's registry, and the public view of one client."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from services.auth_api.client_document import client_document
from services.auth_api.clients import (
    LONGEST_OVERLAP,
    PublicClientError,
    TooManyClientsError,
    UnknownClientError,
    WrongFieldsError,
    create_client,
    delete_client,
    list_own_clients,
    read_client,
    reset_secret,
    update_client,
)
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.signed_in import signed_in
from shared.api_key import mint_client_secret
from shared.contracts.clients import ClientFields, FieldError
from shared.secret_tokens import digest_of
from shared.web.body import json_response, read_json, refused_fields
from shared.web.failures import Problem

_UNKNOWN: Final = "There is no such client."
_SHOWN_ONCE: Final = {"Pragma": "no-cache"}
_STRICT: Final = ConfigDict(extra="forbid", strict=True)


class NewClient(BaseModel):
    """The body of a registration; the rules of each field are in ``client_fields``."""

    model_config = _STRICT

    name: str
    redirectUri: str | None = None  # noqa: N815 - the public name
    redirectUris: list[str] | None = None  # noqa: N815 - the public name
    requestedPermissions: list[str]  # noqa: N815 - the public name
    apiKeyFormat: str | None = None  # noqa: N815 - the public name
    apiKeyFilename: str | None = None  # noqa: N815 - the public name
    webhookUri: str | None = None  # noqa: N815 - the public name
    homepage: str | None = None
    description: str | None = None
    public: bool = False


class ClientChanges(BaseModel):
    """The body of a change: what is given changes, ``null`` takes an optional value away."""

    model_config = _STRICT

    name: str = ""
    redirectUri: str | None = None  # noqa: N815 - the public name
    redirectUris: list[str] | None = None  # noqa: N815 - the public name
    apiKeyFormat: str | None = None  # noqa: N815 - the public name
    apiKeyFilename: str | None = None  # noqa: N815 - the public name
    webhookUri: str | None = None  # noqa: N815 - the public name
    homepage: str | None = None
    description: str | None = None


class SecretReset(BaseModel):
    """The body of a secret's reset."""

    model_config = _STRICT

    overlapSeconds: int = Field(default=0, ge=0, le=LONGEST_OVERLAP)  # noqa: N815 - the public name


_FIELDS: Final = {
    "name": "name",
    "requestedPermissions": "requested_permissions",
    "apiKeyFormat": "api_key_format",
    "apiKeyFilename": "api_key_filename",
    "webhookUri": "webhook_uri",
    "homepage": "homepage",
    "description": "description",
    "public": "public",
}


async def create(request: web.Request) -> web.Response:
    """POST: 201 with the client and, this once, its secret."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    given, redirect_field = _fields(await read_json(request, NewClient))
    secret = None if given.get("public") else mint_client_secret(resources.settings.key_prefix)
    try:
        client = await create_client(
            resources,
            user.user_id,
            ClientFields.model_validate(given),
            None if secret is None else digest_of(secret),
            redirect_field=redirect_field,
        )
    except WrongFieldsError as error:
        raise refused_fields(error.errors) from None
    except TooManyClientsError:
        most = resources.settings.clients_per_user
        raise Problem(409, f"You have {most} clients, the most that one account may have.") from None
    return json_response(client_document(client, secret=secret), 201, _SHOWN_ONCE)


async def list_own(request: web.Request) -> web.Response:
    """GET: 200 with the caller's clients, newest first."""
    user = await signed_in(request)
    clients = await list_own_clients(request.app[RESOURCES], user.user_id)
    return json_response([client_document(client) for client in clients])


async def read(request: web.Request) -> web.Response:
    """GET one: 200 to anybody, without secret and webhook."""
    try:
        client = await read_client(request.app[RESOURCES], request.match_info["clientID"])
    except UnknownClientError:
        raise Problem(404, _UNKNOWN) from None
    document = client_document(client)
    del document["webhookUri"]
    return json_response(document)


async def update(request: web.Request) -> web.Response:
    """PATCH: 200 with the changed client, to its author; 404 to everybody else."""
    user = await signed_in(request)
    changes, redirect_field = _fields(await read_json(request, ClientChanges))
    client_id = request.match_info["clientID"]
    try:
        client = await update_client(
            request.app[RESOURCES], user.user_id, client_id, changes, redirect_field=redirect_field
        )
    except WrongFieldsError as error:
        raise refused_fields(error.errors) from None
    except UnknownClientError:
        raise Problem(404, _UNKNOWN) from None
    return json_response(client_document(client))


async def reset(request: web.Request) -> web.Response:
    """POST reset-secret: 200 with the client and, this once, its new secret."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    body = await read_json(request, SecretReset) if request.body_exists else SecretReset()
    secret = mint_client_secret(resources.settings.key_prefix)
    client_id = request.match_info["clientID"]
    try:
        client = await reset_secret(
            resources, user.user_id, client_id, digest_of(secret), body.overlapSeconds
        )
    except UnknownClientError:
        raise Problem(404, _UNKNOWN) from None
    except PublicClientError:
        raise Problem(409, "A public client has no secret.") from None
    return json_response(client_document(client, secret=secret), 200, _SHOWN_ONCE)


async def delete(request: web.Request) -> web.Response:
    """DELETE: 204 once every key, code and pending request of the client is dead."""
    user = await signed_in(request)
    try:
        await delete_client(request.app[RESOURCES], user.user_id, request.match_info["clientID"])
    except UnknownClientError:
        raise Problem(404, _UNKNOWN) from None
    return web.Response(status=204, headers={"Cache-Control": "no-store"})


def _fields(body: NewClient | ClientChanges) -> tuple[dict[str, Any], str]:
    """What was given, under the names of ``ClientFields``, and how the redirect URIs were called."""
    given = body.model_dump(exclude_unset=True)
    redirect_field = "redirectUris" if "redirectUris" in given else "redirectUri"
    one, several = given.pop("redirectUri", None), given.pop("redirectUris", None) or []
    fields = {_FIELDS[name]: value for name, value in given.items()}
    if body.model_fields_set & {"redirectUri", "redirectUris"}:
        if redirect_field == "redirectUris" and one is not None and several[:1] != [one]:
            detail = "must be the first of redirectUris where both are given"
            raise refused_fields([FieldError(field="redirectUri", detail=detail)])
        fields["redirect_uris"] = several if redirect_field == "redirectUris" else [one] if one else []
    return fields, redirect_field
