"""The author's console as consent_ui drives it: commands over the bus, answered with views."""

from __future__ import annotations

from hashlib import shake_256
from typing import Final

from services.auth_api.client import Client
from services.auth_api.clients import (
    LONGEST_OVERLAP,
    PublicClientError,
    TooManyClientsError,
    UnknownClientError,
    WrongFieldsError,
    create_client,
    delete_client,
    list_own_clients,
    read_own_client,
    reset_secret,
    update_client,
)
from services.auth_api.db.repository import ClientIdTakenError
from services.auth_api.resources import Resources
from services.auth_api.sessions import read_session
from shared.api_key import mint_client_id
from shared.bus import Delivery
from shared.contracts.clients import (
    ClientAnswer,
    ClientList,
    CreateClient,
    DeleteClient,
    FieldError,
    ListOwnClients,
    ReadOwnClient,
    ResetClientSecret,
    UpdateClient,
)
from shared.secret_tokens import keyed_digest

SIGNED_OUT: Final = ClientAnswer(outcome="signed_out")
NOT_FOUND: Final = ClientAnswer(outcome="not_found")
_LIMIT: Final = ClientAnswer(outcome="limit")
_UNCHANGEABLE: Final = {"requested_permissions", "public"}


async def create(resources: Resources, command: CreateClient, delivery: Delivery) -> ClientAnswer:
    """Registers a client; delivered twice it is registered once, since its id follows from the message's."""
    user = await read_session(resources, command.session)
    if user is None:
        return SIGNED_OUT
    if not command.fields.public and command.secret_digest is None:
        missing = FieldError(field="clientSecret", detail="is required unless the client is public")
        return ClientAnswer(outcome="invalid", errors=(missing,))
    seed = keyed_digest(resources.settings.secret, "client-id", delivery.message_id).encode()
    client_id = mint_client_id(resources.settings.key_prefix, shake_256(seed).digest)
    try:
        client = await create_client(
            resources, user.user_id, command.fields, command.secret_digest, client_id=client_id
        )
    except ClientIdTakenError:
        return _done(await read_own_client(resources, user.user_id, client_id))
    except WrongFieldsError as error:
        return ClientAnswer(outcome="invalid", errors=error.errors)
    except (TooManyClientsError, UnknownClientError) as error:
        return _LIMIT if isinstance(error, TooManyClientsError) else SIGNED_OUT
    return _done(client)


async def list_own(resources: Resources, command: ListOwnClients) -> ClientList:
    """The person's clients."""
    user = await read_session(resources, command.session)
    if user is None:
        return ClientList(signed_out=True)
    clients = await list_own_clients(resources, user.user_id)
    return ClientList(clients=tuple(client.to_view() for client in clients))


async def read(resources: Resources, command: ReadOwnClient) -> ClientAnswer:
    """One client, to its author."""
    user = await read_session(resources, command.session)
    if user is None:
        return SIGNED_OUT
    try:
        return _done(await read_own_client(resources, user.user_id, command.client_id))
    except UnknownClientError:
        return NOT_FOUND


async def update(resources: Resources, command: UpdateClient) -> ClientAnswer:
    """Replaces everything that may change."""
    user = await read_session(resources, command.session)
    if user is None:
        return SIGNED_OUT
    changes = command.fields.model_dump(exclude=_UNCHANGEABLE)
    try:
        return _done(await update_client(resources, user.user_id, command.client_id, changes))
    except WrongFieldsError as error:
        return ClientAnswer(outcome="invalid", errors=error.errors)
    except UnknownClientError:
        return NOT_FOUND


async def reset(resources: Resources, command: ResetClientSecret) -> ClientAnswer:
    """A new secret for a client."""
    user = await read_session(resources, command.session)
    if user is None:
        return SIGNED_OUT
    if not 0 <= command.overlap_seconds <= LONGEST_OVERLAP:
        detail = f"must be 0 to {LONGEST_OVERLAP}"
        return ClientAnswer(outcome="invalid", errors=(FieldError(field="overlapSeconds", detail=detail),))
    try:
        client = await reset_secret(
            resources, user.user_id, command.client_id, command.secret_digest, command.overlap_seconds
        )
    except UnknownClientError:
        return NOT_FOUND
    except PublicClientError:
        detail = "a public client has none"
        return ClientAnswer(outcome="invalid", errors=(FieldError(field="clientSecret", detail=detail),))
    return _done(client)


async def delete(resources: Resources, command: DeleteClient) -> ClientAnswer:
    """Deletes a client and everything that was given to it."""
    user = await read_session(resources, command.session)
    if user is None:
        return SIGNED_OUT
    try:
        client = await delete_client(resources, user.user_id, command.client_id)
    except UnknownClientError:
        return NOT_FOUND
    return ClientAnswer(outcome="done", client=client.to_view() if client else None)


def _done(client: Client) -> ClientAnswer:
    return ClientAnswer(outcome="done", client=client.to_view())
