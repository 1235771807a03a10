"""What a service gives to a consumer: one function for each type of message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, NamedTuple

from shared.contracts.messages import Command, Event


class Delivery(NamedTuple):
    """What a handler may want to know of the message besides its body. Times by the clock of Redis."""

    message_id: str
    source: str
    created_on: int
    expires_on: int | None
    attempt: int
    trace: str = ""
    """W3C ``traceparent``; empty where there is none."""
    trace_state: str = ""


@dataclass(frozen=True, slots=True)
class MessageHandler:
    """A function for one type of message; see ``handler``."""

    message: type[Command[Any] | Event]
    function: Callable[..., Awaitable[Any]]
    batch: bool
    takes_delivery: bool
    sender: str = ""
    """The one service that has business sending this message; empty where the stream alone decides."""


def handler(
    message: type[Command[Any] | Event],
    function: Callable[..., Awaitable[Any]],
    *,
    batch: bool = False,
    sender: str = "",
) -> MessageHandler:
    """Names the function for a type of message.

    Single: ``function(message)`` or ``function(message, delivery)`` → the reply (nothing for an event). Batch: the same
    with lists → as many replies in the same order; an exception in a place fails that message alone. A batch that raises
    is tried again one by one, so that one message cannot spoil the others.

    ``sender``: only what this service says is handled, and answered in its own streams alone.
    """
    takes_delivery = len(signature(function).parameters) > 1
    return MessageHandler(message, function, batch, takes_delivery, sender)
