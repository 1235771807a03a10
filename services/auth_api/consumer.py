"""Which command goes to which use case: everything that other services may ask of auth_api."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from services.auth_api.authorize.decide import decide_authorization
from services.auth_api.authorize.prepare import prepare_authorization
from services.auth_api.clients import commands as client_commands
from services.auth_api.clients.authentication import authenticate_digest
from services.auth_api.clients.registry import UnknownAuthorError
from services.auth_api.keys import commands as key_commands
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import end_session, read_session
from shared.bus import Delivery, MessageHandler, handler
from shared.contracts.access import (
    ChangeOwnKey,
    ReadAccess,
    RevokeAccess,
    RevokeOwnKey,
    RotateOwnKey,
)
from shared.contracts.authorization import DecideAuthorization, PrepareAuthorization
from shared.contracts.base import Command, Done, Message
from shared.contracts.clients import (
    AuthenticateClient,
    CreateClient,
    DeleteClient,
    ListAttempts,
    ListOwnClients,
    ReadOwnClient,
    ResetClientSecret,
    UpdateClient,
)
from shared.contracts.previous_release import (
    ContinuationStored,
    DisconnectApp,
    ListApps,
    StoreContinuation,
)
from shared.contracts.sessions import (
    EndSession,
    PersonalCommand,
    PersonalReply,
    ReadSession,
    SessionState,
    SessionUser,
)
from shared.return_to import sign_target

QUEUE: Final = "auth_api"

UseCase = Callable[[Resources, Any], Awaitable[Message]]
PersonalUseCase = Callable[[Resources, SessionUser, Any], Awaitable[PersonalReply]]


async def _end_session(resources: Resources, command: EndSession) -> Done:
    await end_session(resources, command.session)
    return Done()


async def _store_continuation(resources: Resources, command: StoreContinuation) -> ContinuationStored:
    return ContinuationStored(continue_id=sign_target(resources.settings.secrets, command.target))


async def _read_session(_resources: Resources, _user: SessionUser, _command: ReadSession) -> SessionState:
    return SessionState()


USE_CASES: Final[tuple[tuple[type[Command[Any]], UseCase], ...]] = (
    (EndSession, _end_session),
    (PrepareAuthorization, prepare_authorization),
    (DecideAuthorization, decide_authorization),
    (AuthenticateClient, authenticate_digest),
    (StoreContinuation, _store_continuation),
)
PERSONAL_USE_CASES: Final[tuple[tuple[type[PersonalCommand[Any]], PersonalUseCase], ...]] = (
    (ReadSession, _read_session),
    (ReadAccess, key_commands.read_access),
    (RevokeAccess, key_commands.revoke_own_access),
    (ChangeOwnKey, key_commands.change_own_key),
    (RevokeOwnKey, key_commands.revoke_own_key),
    (RotateOwnKey, key_commands.rotate_own_key),
    (ListOwnClients, client_commands.list_own),
    (ReadOwnClient, client_commands.read),
    (UpdateClient, client_commands.update),
    (ResetClientSecret, client_commands.reset),
    (DeleteClient, client_commands.delete),
    (ListAttempts, client_commands.list_attempts),
    (ListApps, key_commands.read_access),
    (DisconnectApp, key_commands.revoke_own_access),
)
"""What a person asks for: answered for the person whose session it is, and only while it lives."""


def handlers(resources: Resources) -> list[MessageHandler]:
    """The handlers of auth_api's command stream."""
    return [
        *(handler(command, partial(use_case, resources)) for command, use_case in USE_CASES),
        *(
            handler(command, partial(_answer_person, resources, use_case))
            for command, use_case in PERSONAL_USE_CASES
        ),
        handler(CreateClient, partial(_create_client, resources)),
    ]


async def _create_client(resources: Resources, command: CreateClient, delivery: Delivery) -> Message:
    create = partial(client_commands.create, message_id=delivery.message_id)
    return await _answer_person(resources, create, command)


async def _answer_person(
    resources: Resources, use_case: PersonalUseCase, command: PersonalCommand[Any]
) -> Message:
    user = await read_session(resources, command.session)
    if user is not None:
        with suppress(UnknownAuthorError):  # the account was disabled in this moment: its sessions are over
            reply = await use_case(resources, user, command)
            return reply.model_copy(update={"user": user})
    return command.replies()
