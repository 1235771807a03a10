"""The authorization use cases as the bus offers them: which command is answered by which function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from services.auth_api.attempts import list_attempts
from services.auth_api.decisions import decide_authorization
from services.auth_api.preparation import prepare_authorization
from services.auth_api.resources import Resources
from shared.contracts.authorization import DecideAuthorization, PrepareAuthorization
from shared.contracts.base import Command, Message
from shared.contracts.clients import ListAttempts

UseCase = Callable[[Resources, Any], Awaitable[Message]]

HANDLERS: Final[tuple[tuple[type[Command[Any]], UseCase], ...]] = (
    (PrepareAuthorization, prepare_authorization),
    (DecideAuthorization, decide_authorization),
    (ListAttempts, list_attempts),
)
