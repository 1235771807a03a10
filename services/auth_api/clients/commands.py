"""The author's console as consent_ui drives it: whose session it is has been found out already."""

from __future__ import annotations

from collections.abc import Awaitable
from hashlib import shake_256
from typing import Final

from services.auth_api.clients.model import Client
from services.auth_api.clients.registry import (
    TooManyClientsError,
    UnknownClientError,
    WrongFieldsError,
    create_client,
    delete_client,
    list_own_clients,
    read_attempts,
    read_own_client,
    reset_secret,
    update_client,
)
from services.auth_api.db.repository import ClientIdTakenError
from services.auth_api.rate_limit import Throttled
from services.auth_api.resources import Resources
from shared.api_key import mint_client_id
from shared.contracts.clients import (
    AttemptList,
    ClientAnswer,
    ClientList,
    ClientName,
    ClientTexts,
    CreateClient,
    DeleteClient,
    ListAttempts,
    ListOwnClients,
    ReadClientName,
    ReadOwnClient,
    ResetClientSecret,
    UpdateClient,
)
from shared.contracts.field_errors import FieldError
from shared.contracts.sessions import SessionUser
from shared.secret_tokens import keyed_digest

_CHANGEABLE: Final = {*ClientTexts.model_fields, "redirect_uris"}


async def create(
    resources: Resources, user: SessionUser, command: CreateClient, *, message_id: str
) -> ClientAnswer:
    """Registers a client; delivered twice it is registered once, since its id follows from the message's."""
    if not command.fields.public and command.secret_digest is None:
        detail = "is required unless the client is public"
        return ClientAnswer(outcome="invalid", errors=(FieldError(field="clientSecret", detail=detail),))
    seed = keyed_digest(resources.settings.secret, "client-id", message_id).encode()
    client_id = mint_client_id(resources.settings.key_prefix, shake_256(seed).digest)
    try:
        return await _answer(
            create_client(resources, user.user_id, command.fields, command.secret_digest, client_id=client_id)
        )
    except ClientIdTakenError:
        return await _answer(read_own_client(resources, user.user_id, client_id))


async def read(resources: Resources, user: SessionUser, command: ReadOwnClient) -> ClientAnswer:
    """One client, to its author."""
    return await _answer(read_own_client(resources, user.user_id, command.client_id))


async def update(resources: Resources, user: SessionUser, command: UpdateClient) -> ClientAnswer:
    """Replaces everything that may change."""
    changes = command.fields.model_dump(include=_CHANGEABLE)
    return await _answer(update_client(resources, user.user_id, command.client_id, changes))


async def reset(resources: Resources, user: SessionUser, command: ResetClientSecret) -> ClientAnswer:
    """A new secret for a client."""
    digest, overlap = command.secret_digest, command.overlap_seconds
    return await _answer(reset_secret(resources, user.user_id, command.client_id, digest, overlap))


async def delete(resources: Resources, user: SessionUser, command: DeleteClient) -> ClientAnswer:
    """Deletes a client and everything that was given to it."""
    return await _answer(delete_client(resources, user.user_id, command.client_id))


async def read_name(resources: Resources, command: ReadClientName) -> ClientName:
    """What an app is called, for the sign-in page on the way to it."""
    client = await resources.clients.find(command.client_id)
    return ClientName(name=None if client is None else client.name)


async def list_own(resources: Resources, user: SessionUser, _command: ListOwnClients) -> ClientList:
    """The person's clients."""
    clients = await list_own_clients(resources, user.user_id)
    return ClientList(clients=tuple(client.view for client in clients))


async def list_attempts(resources: Resources, user: SessionUser, command: ListAttempts) -> AttemptList:
    """The last attempts of a client, to its author."""
    try:
        attempts = await read_attempts(resources, user.user_id, command.client_id)
    except UnknownClientError:
        return AttemptList(outcome="not_found")
    return AttemptList(outcome="done", attempts=attempts)


async def _answer(acting: Awaitable[Client | None]) -> ClientAnswer:
    """What came of it."""
    try:
        client = await acting
    except WrongFieldsError as error:
        return ClientAnswer(outcome="invalid", errors=error.errors)
    except UnknownClientError:
        return ClientAnswer(outcome="not_found")
    except TooManyClientsError:
        return ClientAnswer(outcome="limit")
    except Throttled as error:
        return ClientAnswer(
            outcome="invalid", errors=(FieldError(field="name", detail=error.failure.detail),)
        )
    return ClientAnswer(outcome="done", client=client.view if client else None)
