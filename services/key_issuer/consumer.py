"""What arrives on the bus: which use case handles which message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from services.key_issuer.changes import change_key, rotate_key
from services.key_issuer.issuance import issue_keys
from services.key_issuer.issuer import Issuer
from services.key_issuer.listing import list_keys, summarize_usage
from services.key_issuer.revocation import (
    abandon_keys,
    revoke_code,
    revoke_grant,
    revoke_key,
    revoke_people,
    revoke_token,
)
from services.key_issuer.service_keys import read_service_key
from shared.bus import Bus, Consumer, EventConsumer, handler
from shared.contracts.events import GrantRevoked, PeopleEnded
from shared.contracts.keys import (
    AbandonKey,
    ChangeKey,
    ConfirmDelivery,
    IssueKey,
    ListKeys,
    RevokeCode,
    RevokeGrant,
    RevokeKey,
    RevokePeople,
    RevokeToken,
    RotateKey,
    SummarizeUsage,
    TakesBack,
)
from shared.contracts.messages import Command, Done
from shared.contracts.service_keys import ReadServiceKey

QUEUE: Final = "key_issuer"
_SENDER: Final = "auth_api"
"""The one service that orders keys and takes them back: it knows whose session or client asks for it."""
BATCH: Final = 128

UseCase = Callable[[Issuer, Any], Awaitable[Any]]


async def _nothing_to_do(_issuer: Issuer, _command: ConfirmDelivery) -> Done:
    """The answer to auth_api and consent_ui of the previous release, for which a key without it was not delivered."""
    return Done()


_IN_BATCHES: Final = frozenset({IssueKey, AbandonKey})
_USE_CASES: Final[tuple[tuple[type[Command[Any]], UseCase], ...]] = (
    (IssueKey, issue_keys),
    (AbandonKey, abandon_keys),
    (RevokeKey, revoke_key),
    (RevokeToken, revoke_token),
    (RevokeCode, revoke_code),
    (RevokeGrant, revoke_grant),
    (RevokePeople, revoke_people),
    (ReadServiceKey, read_service_key),
    (ListKeys, list_keys),
    (SummarizeUsage, summarize_usage),
    (ChangeKey, change_key),
    (RotateKey, rotate_key),
    (ConfirmDelivery, _nothing_to_do),
)


def make_consumers(bus: Bus, issuer: Issuer) -> tuple[Consumer, Consumer]:
    """The commands to this service, and those that take keys back: an issue that waits delays none of them.

    The ordinary stream takes these too: the previous release knows no other.
    """
    handlers = [
        handler(message, partial(use_case, issuer), batch=message in _IN_BATCHES, sender=_SENDER)
        for message, use_case in _USE_CASES
    ]
    first = [each for each in handlers if issubclass(each.message, TakesBack)]
    return Consumer(bus, QUEUE, handlers, batch=BATCH), Consumer(bus, TakesBack.queue, first, batch=BATCH)


def make_event_consumer(bus: Bus, issuer: Issuer) -> EventConsumer:
    """The facts of auth_api that end keys, also where its command was lost in a crash."""
    handlers = [
        handler(GrantRevoked, partial(revoke_grant, issuer)),
        handler(PeopleEnded, partial(revoke_people, issuer)),
    ]
    return EventConsumer(bus, GrantRevoked.stream, QUEUE, handlers)
