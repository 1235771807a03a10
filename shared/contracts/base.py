"""The three kinds of message on the bus: replies, commands and events, and how they become bytes."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """What one service tells another: strict where it is written, tolerant where it is read.

    A writer that misspells a field fails at once (``extra="forbid"``); a reader ignores fields that a
    newer writer added, so that two versions can run side by side during an upgrade.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_wire(self) -> bytes:
        """The body as UTF-8 JSON, at most 64 KiB in practice (the bus refuses more)."""
        return self.__pydantic_serializer__.to_json(self)

    @classmethod
    def from_wire(cls, body: bytes, attached: bytes = b"") -> Self:
        """Reads a body; unknown fields are ignored.

        ``attached`` is a second JSON object with further fields, which a script took from where they were kept; they
        count before those of the body.

        Raises:
            pydantic.ValidationError: the body is not JSON of this shape.
            ValueError: ``attached`` is no JSON object.
        """
        if attached:
            return cls.model_validate({**orjson.loads(body), **orjson.loads(attached)}, extra="ignore")
        return cls.model_validate_json(body, extra="ignore")


MessageType = type[Message]

ReplyT = TypeVar("ReplyT", bound=Message)


class Command(Message, Generic[ReplyT]):
    """A request to exactly one service, answered with ``replies``."""

    type: ClassVar[str]
    """Name on the wire, ``noun.verb``."""
    queue: ClassVar[str]
    """The command stream that carries it: one for each service that asks and service that is asked (bus/names.py)."""
    replies: ClassVar[MessageType]
    """The shape of the answer: what stands in the brackets."""
    always_passes: ClassVar[bool] = False
    """Whether it takes something back: then it is sent however much waits before it, and however full Redis is."""
    passes_if_full: ClassVar[bool] = False
    """Whether people need its answer to take something back: then it is sent however full Redis is."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Takes the shape of the answer from ``Command[…]``, once for all classes below it."""
        super().__pydantic_init_subclass__(**kwargs)
        answered = cls.__pydantic_generic_metadata__["args"]
        if answered and isinstance(answered[0], type):
            cls.replies = answered[0]


class Event(Message):
    """A fact that has happened, for whoever wants to know."""

    type: ClassVar[str]
    """Name on the wire, ``noun.past-participle``."""
    stream: ClassVar[str]
    """The event stream that carries it, without the ``lk:{…}`` frame."""


class Done(Message):
    """The answer that says nothing but that it was done."""
