"""Which command goes to which use case: everything that other services may ask of auth_api."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from services.auth_api import apps, console
from services.auth_api.attempts import list_attempts
from services.auth_api.client_access import authenticate_digest
from services.auth_api.continuations import store_continuation
from services.auth_api.decisions import decide_authorization
from services.auth_api.preparation import prepare_authorization
from services.auth_api.resources import Resources
from services.auth_api.sessions import end_session, read_session
from shared.bus import Delivery, Handler, handler
from shared.contracts.apps import AppDisconnected, AppList, DisconnectApp, ListApps
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
from shared.contracts.sessions import (
    ContinuationStored,
    EndSession,
    ReadSession,
    SessionState,
    StoreContinuation,
)

QUEUE: Final = "auth_api"

UseCase = Callable[[Resources, Any], Awaitable[Message]]


async def _read_session(resources: Resources, command: ReadSession) -> SessionState:
    return SessionState(user=await read_session(resources, command.session))


async def _end_session(resources: Resources, command: EndSession) -> Done:
    await end_session(resources, command.session)
    return Done()


async def _store_continuation(resources: Resources, command: StoreContinuation) -> ContinuationStored:
    return ContinuationStored(continue_id=await store_continuation(resources, command.target))


async def _list_apps(resources: Resources, command: ListApps) -> AppList:
    user = await read_session(resources, command.session)
    if user is None:
        return AppList(signed_out=True)
    return AppList(apps=await apps.list_apps(resources, user.user_id))


async def _disconnect_app(resources: Resources, command: DisconnectApp) -> AppDisconnected:
    user = await read_session(resources, command.session)
    if user is None:
        return AppDisconnected(outcome="signed_out")
    client = await apps.disconnect_app(resources, user.user_id, command.client_id)
    if client is None:
        return AppDisconnected(outcome="not_found")
    return AppDisconnected(outcome="done", name=client.name)


USE_CASES: Final[tuple[tuple[type[Command[Any]], UseCase], ...]] = (
    (ReadSession, _read_session),
    (EndSession, _end_session),
    (StoreContinuation, _store_continuation),
    (ListOwnClients, console.list_own),
    (ReadOwnClient, console.read),
    (UpdateClient, console.update),
    (ResetClientSecret, console.reset),
    (DeleteClient, console.delete),
    (AuthenticateClient, authenticate_digest),
    (ListApps, _list_apps),
    (DisconnectApp, _disconnect_app),
    (PrepareAuthorization, prepare_authorization),
    (DecideAuthorization, decide_authorization),
    (ListAttempts, list_attempts),
)


def handlers(resources: Resources) -> list[Handler]:
    """The handlers of auth_api's command stream."""
    plain = [handler(command, partial(_answer, resources, use_case)) for command, use_case in USE_CASES]
    return [*plain, handler(CreateClient, partial(console.create, resources))]


async def _answer(
    resources: Resources, use_case: UseCase, command: Command[Any], _delivery: Delivery
) -> Message:
    return await use_case(resources, command)
