"""The author's console as consent_ui drives it: commands over the bus, answered with views."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from hashlib import shake_256
from typing import Any, Final

from services.auth_api.clients.model import Client
from services.auth_api.clients.registry import (
    LONGEST_OVERLAP,
    TooManyClientsError,
    UnknownAuthorError,
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
from services.auth_api.sessions.service import read_session
from shared.api_key import mint_client_id
from shared.bus import Delivery
from shared.contracts.clients import (
    ClientAnswer,
    ClientList,
    ClientTexts,
    CreateClient,
    DeleteClient,
    FieldError,
    ListOwnClients,
    ReadOwnClient,
    ResetClientSecret,
    UpdateClient,
)
from shared.secret_tokens import keyed_digest

_CHANGEABLE: Final = {*ClientTexts.model_fields, "redirect_uris"}


def _for_author(act: Callable[..., Awaitable[Client | None]]) -> Callable[..., Awaitable[ClientAnswer]]:
    """Runs ``act`` for the person behind the command's session, and answers with what came of it."""

    @wraps(act)
    async def answer(resources: Resources, command: Any, *delivery: Delivery) -> ClientAnswer:
        user = await read_session(resources, command.session)
        if user is None:
            return ClientAnswer(outcome="signed_out")
        try:
            client = await act(resources, user.user_id, command, *delivery)
        except WrongFieldsError as error:
            return ClientAnswer(outcome="invalid", errors=error.errors)
        except UnknownClientError:
            return ClientAnswer(outcome="not_found")
        except UnknownAuthorError:
            return ClientAnswer(outcome="signed_out")
        except TooManyClientsError:
            return ClientAnswer(outcome="limit")
        return ClientAnswer(outcome="done", client=client.to_view() if client else None)

    return answer


@_for_author
async def create(resources: Resources, author_id: int, command: CreateClient, delivery: Delivery) -> Client:
    """Registers a client; delivered twice it is registered once, since its id follows from the message's."""
    if not command.fields.public and command.secret_digest is None:
        raise WrongFieldsError(
            [FieldError(field="clientSecret", detail="is required unless the client is public")]
        )
    seed = keyed_digest(resources.settings.secret, "client-id", delivery.message_id).encode()
    client_id = mint_client_id(resources.settings.key_prefix, shake_256(seed).digest)
    try:
        return await create_client(
            resources, author_id, command.fields, command.secret_digest, client_id=client_id
        )
    except ClientIdTakenError:
        return await read_own_client(resources, author_id, client_id)


@_for_author
async def read(resources: Resources, author_id: int, command: ReadOwnClient) -> Client:
    """One client, to its author."""
    return await read_own_client(resources, author_id, command.client_id)


@_for_author
async def update(resources: Resources, author_id: int, command: UpdateClient) -> Client:
    """Replaces everything that may change."""
    changes = command.fields.model_dump(include=_CHANGEABLE)
    return await update_client(resources, author_id, command.client_id, changes)


@_for_author
async def reset(resources: Resources, author_id: int, command: ResetClientSecret) -> Client:
    """A new secret for a client."""
    if not 0 <= command.overlap_seconds <= LONGEST_OVERLAP:
        raise WrongFieldsError([FieldError(field="overlapSeconds", detail=f"must be 0 to {LONGEST_OVERLAP}")])
    return await reset_secret(
        resources, author_id, command.client_id, command.secret_digest, command.overlap_seconds
    )


@_for_author
async def delete(resources: Resources, author_id: int, command: DeleteClient) -> Client | None:
    """Deletes a client and everything that was given to it."""
    return await delete_client(resources, author_id, command.client_id)


async def list_own(resources: Resources, command: ListOwnClients) -> ClientList:
    """The person's clients."""
    user = await read_session(resources, command.session)
    if user is None:
        return ClientList(signed_out=True)
    clients = await list_own_clients(resources, user.user_id)
    return ClientList(clients=tuple(client.to_view() for client in clients))
