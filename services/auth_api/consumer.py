"""Which command goes to which use case: everything that other services may ask of auth_api."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from services.auth_api.accounts.identities import list_identities
from services.auth_api.accounts.password_resets import find_reset
from services.auth_api.authorize.decide import decide_authorization
from services.auth_api.authorize.prepare import prepare_authorization
from services.auth_api.clients import commands as client_commands
from services.auth_api.clients.authentication import authenticate_digest
from services.auth_api.clients.registry import UnknownAuthorError
from services.auth_api.keys import commands as key_commands
from services.auth_api.resources import Resources
from services.auth_api.sessions import account_sessions
from services.auth_api.sessions.service import end_session, read_session
from services.auth_api.webhooks import commands as webhook_commands
from services.auth_api.webhooks.recording import record_changed_keys
from shared.bus import Consumer, Delivery, EventConsumer, MessageHandler, handler
from shared.contracts.access import (
    ChangeOwnKey,
    ReadAccess,
    RevokeAccess,
    RevokeOwnKey,
    RotateOwnKey,
)
from shared.contracts.authorization import DecideAuthorization, PrepareAuthorization
from shared.contracts.clients import (
    AuthenticateClient,
    CreateClient,
    DeleteClient,
    ListAttempts,
    ListOwnClients,
    ReadClientName,
    ReadOwnClient,
    ResetClientSecret,
    UpdateClient,
)
from shared.contracts.events import KeysChanged
from shared.contracts.messages import Command, Done, Message
from shared.contracts.sessions import (
    EndOwnSessions,
    EndSession,
    ListSessions,
    PasswordResetState,
    PersonalCommand,
    PersonalReply,
    ReadPasswordReset,
    ReadSession,
    SessionList,
    SessionsEnded,
    SessionState,
    SessionUser,
)
from shared.contracts.webhooks import ReadWebhooks, ResendWebhook, RotateWebhookKeys, SendTestWebhook

UseCase = Callable[[Resources, Any], Awaitable[Message]]
PersonalUseCase = Callable[[Resources, SessionUser, Any], Awaitable[PersonalReply]]


async def _end_session(resources: Resources, command: EndSession) -> Done:
    await end_session(resources, command.session)
    return Done()


async def _list_sessions(resources: Resources, user: SessionUser, command: ListSessions) -> SessionList:
    found, logins = await asyncio.gather(
        account_sessions.list_sessions(resources, user.user_id, command.session),
        list_identities(resources, user.user_id),
    )
    return SessionList(
        logins=tuple((login.issuer, login.subject) for login in logins),
        sessions=tuple(
            view.model_copy(update={"peer": account_sessions.network_of(view.peer)}) for view in found
        ),
    )


async def _end_own_sessions(
    resources: Resources, user: SessionUser, command: EndOwnSessions
) -> SessionsEnded:
    if command.session_id is None:
        await account_sessions.end_other_sessions(resources, user, command.session, None)
        return SessionsEnded(outcome="done")
    ended = await account_sessions.end_own_session(resources, user.user_id, command.session_id, None)
    return SessionsEnded(outcome="done" if ended else "not_found")


async def _read_password_reset(resources: Resources, command: ReadPasswordReset) -> PasswordResetState:
    person = await find_reset(resources, command.token_digest)
    return PasswordResetState(username=None if person is None else person.username)


async def _read_session(_resources: Resources, _user: SessionUser, _command: ReadSession) -> SessionState:
    return SessionState()


USE_CASES: Final[tuple[tuple[type[Command[Any]], UseCase], ...]] = (
    (EndSession, _end_session),
    (PrepareAuthorization, prepare_authorization),
    (DecideAuthorization, decide_authorization),
    (ReadClientName, client_commands.read_name),
    (ReadPasswordReset, _read_password_reset),
)
PERSONAL_USE_CASES: Final[tuple[tuple[type[PersonalCommand[Any]], PersonalUseCase], ...]] = (
    (ReadSession, _read_session),
    (ListSessions, _list_sessions),
    (EndOwnSessions, _end_own_sessions),
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
    (ReadWebhooks, webhook_commands.read),
    (ResendWebhook, webhook_commands.resend),
    (SendTestWebhook, webhook_commands.test),
    (RotateWebhookKeys, webhook_commands.rotate),
)
"""What a person asks for: answered for the person whose session it is, and only while it lives."""


def make_consumers(resources: Resources) -> tuple[Consumer, Consumer]:
    """What the pages say for people, and what key_issuer asks: each on a stream that nobody else may append to.

    What consent_ui of the previous release says comes on the stream of key_issuer, until the rights of this release
    (deploy/redis) end that.
    """
    bus, pages, issuer = resources.bus, _for_pages(resources), _for_issuer(resources)
    return Consumer(bus, PersonalCommand.queue, pages), Consumer(
        bus, AuthenticateClient.queue, issuer + pages
    )


def make_event_consumer(resources: Resources) -> EventConsumer:
    """What key_issuer says became of clients' keys: their programs are to hear of it."""
    changed = handler(KeysChanged, partial(record_changed_keys, resources), batch=True, sender="key_issuer")
    return EventConsumer(resources.bus, KeysChanged.stream, "auth_api", [changed])


def _for_pages(resources: Resources) -> list[MessageHandler]:
    """Nothing in here is done for a person but by the digest of their session."""
    functions: list[tuple[type[Command[Any]], Callable[..., Awaitable[Message]]]] = [
        *((command, partial(use_case, resources)) for command, use_case in USE_CASES),
        *(
            (command, partial(_answer_person, resources, use_case))
            for command, use_case in PERSONAL_USE_CASES
        ),
        (CreateClient, partial(_create_client, resources)),
    ]
    return [handler(command, function, sender="consent_ui") for command, function in functions]


def _for_issuer(resources: Resources) -> list[MessageHandler]:
    return [handler(AuthenticateClient, partial(authenticate_digest, resources), sender="key_issuer")]


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
