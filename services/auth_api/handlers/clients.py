"""`/api/v1/clients`: the author's registry, and the public view of one client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from pydantic import ConfigDict

from services.auth_api.clients.model import Client
from services.auth_api.clients.registry import (
    PublicClientError,
    TooManyClientsError,
    UnknownAuthorError,
    UnknownClientError,
    WrongFieldsError,
    create_client,
    delete_client,
    list_own_clients,
    read_attempts,
    read_client,
    reset_secret,
    update_client,
)
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.documents import ClientDocument, PublicClientDocument
from services.auth_api.handlers.signed_in import signed_in
from shared.api_key import mint_client_secret
from shared.contracts.clients import ClientFields, ClientTexts, OverlapSeconds
from shared.contracts.field_errors import FieldError
from shared.documents import Body, Texts
from shared.secret_tokens import digest_of
from shared.web.body import json_response, read_json, refused_fields
from shared.web.failures import Problem


class _ClientBody(ClientTexts):
    """What the bodies about a client share."""

    model_config = ConfigDict(strict=True)

    redirect_uri: str | None = None
    redirect_uris: Texts | None = None

    def given(self) -> dict[str, Any]:
        """What was given, under the names of ``ClientFields``; null is no value.

        Raises:
            Problem: 400, ``redirectUri`` and ``redirectUris`` contradict one another.
        """
        given = self.model_dump(exclude_unset=True)
        one, several = given.pop("redirect_uri", None), given.pop("redirect_uris", None)
        if one is not None and several is not None and several[:1] != [one]:
            detail = "must be the first of redirectUris where both are given"
            raise refused_fields([FieldError(field="redirectUri", detail=detail)])
        if self.model_fields_set & {"redirect_uri", "redirect_uris"}:
            given["redirect_uris"] = several or [uri for uri in [one] if uri is not None]
        return given


class NewClient(_ClientBody):
    """The body of a registration; the rules of each field are in ``client_fields``."""

    name: str
    requested_permissions: Texts
    public: bool = False


class ClientChanges(_ClientBody):
    """The body of a change: what is given changes, ``null`` takes an optional value away."""

    name: str = ""


class SecretReset(Body):
    """The body of a secret's reset."""

    overlap_seconds: OverlapSeconds = 0


async def create(request: web.Request) -> web.Response:
    """POST: 201 with the client and, this once, its secret."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    body = await read_json(request, NewClient)
    fields = ClientFields.model_validate(body.given())
    secret = None if fields.public else mint_client_secret(resources.settings.key_prefix)
    digest = None if secret is None else digest_of(secret)
    with refusals(body):
        client = await create_client(resources, user.user_id, fields, digest)
    return _with_secret(client, secret, 201)


async def list_own(request: web.Request) -> web.Response:
    """GET: 200 with the caller's clients, newest first."""
    user = await signed_in(request)
    clients = await list_own_clients(request.app[RESOURCES], user.user_id)
    return json_response([ClientDocument.of(client) for client in clients])


async def read(request: web.Request) -> web.Response:
    """GET one: 200 to everyone, without secret and webhook."""
    with refusals():
        client = await read_client(request.app[RESOURCES], request.match_info["clientID"])
    return json_response(PublicClientDocument.of(client))


async def update(request: web.Request) -> web.Response:
    """PATCH: 200 with the changed client, to its author; 404 to everybody else."""
    user = await signed_in(request)
    body = await read_json(request, ClientChanges)
    client_id = request.match_info["clientID"]
    with refusals(body):
        client = await update_client(request.app[RESOURCES], user.user_id, client_id, body.given())
    return json_response(ClientDocument.of(client))


async def reset(request: web.Request) -> web.Response:
    """POST reset-secret: 200 with the client and, this once, its new secret."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    body = await read_json(request, SecretReset) if request.body_exists else SecretReset()
    secret = mint_client_secret(resources.settings.key_prefix)
    client_id = request.match_info["clientID"]
    with refusals():
        client = await reset_secret(
            resources, user.user_id, client_id, digest_of(secret), body.overlap_seconds
        )
    return _with_secret(client, secret, 200)


async def delete(request: web.Request) -> web.Response:
    """DELETE: 204 once every key, code and pending request of the client is dead."""
    user = await signed_in(request)
    with refusals():
        await delete_client(request.app[RESOURCES], user.user_id, request.match_info["clientID"])
    return web.Response(status=204, headers={"Cache-Control": "no-store"})


async def list_attempts(request: web.Request) -> web.Response:
    """GET attempts: 200 with the last 100 by each of ``AttemptBy``, newest first; 404 to everybody else."""
    user = await signed_in(request)
    with refusals():
        attempts = await read_attempts(request.app[RESOURCES], user.user_id, request.match_info["clientID"])
    return json_response([attempt.model_dump(by_alias=True) for attempt in attempts])


@contextmanager
def refusals(body: _ClientBody | None = None) -> Iterator[None]:
    """Answers what the registry refuses; a lone ``redirectUri`` of ``body`` is called as it was given."""
    try:
        yield
    except UnknownClientError:
        raise Problem(404, "There is no such client.") from None
    except UnknownAuthorError:
        raise Problem(403, "This account was disabled.") from None
    except TooManyClientsError as error:
        raise Problem(409, f"You have {error} clients, the most that one account may have.") from None
    except PublicClientError:
        raise Problem(409, "A public client has no secret.") from None
    except WrongFieldsError as error:
        errors = error.errors
        if body is not None and body.redirect_uris is None:
            errors = tuple(map(_of_lone_uri, errors))
        raise refused_fields(errors) from None


def _of_lone_uri(error: FieldError) -> FieldError:
    about_uri = error.field.startswith("redirectUris")
    return FieldError(field="redirectUri", detail=error.detail) if about_uri else error


def _with_secret(client: Client, secret: str | None, status: int) -> web.Response:
    document = ClientDocument.of(client, client_secret=secret)
    return json_response(document, status, {"Pragma": "no-cache"})
