"""What a message is, a command, a reply or an event, and how it becomes bytes: its body, and the envelope around that."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict

MAJOR: Final = "1"
LARGEST_BODY: Final = 64 * 1024

WireField = str | bytes
RawEntry = Sequence[Any]
"""Id and flat fields of an entry; ``None`` for the fields of one that was deleted while pending."""


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


class MessageTooLarge(ValueError):  # noqa: N818 - named as the callers speak of it
    """A body above the bus's 64 KiB."""


class BadEnvelopeError(ValueError):
    """The entry is no message of ours; the text says why."""


class Envelope(NamedTuple):
    """One message as it travels: flat fields of a stream's entry around the body, readable without parsing it.

    Written strictly and read tolerantly, as the body is. Times are Unix milliseconds by the clock of Redis; 0 where there
    is none.
    """

    id: str
    """UUIDv7, the same on every retry."""
    type: str
    source: str
    created_on: int
    body: bytes
    expires_on: int = 0
    """Absolute deadline: not begun after it."""
    reply_to: str = ""
    correlation: str = ""
    attempt: int = 1
    traceparent: str = ""
    tracestate: str = ""
    attached: bytes = b""
    """Further fields of the body, put beside it by the script that appended the message."""

    def to_fields(self) -> list[WireField]:
        """Name, value, name, value … for XADD. Raises ``MessageTooLarge``."""
        if len(self.body) > LARGEST_BODY:
            raise MessageTooLarge(f"{self.type}: {len(self.body)} bytes")
        fields: list[WireField] = ["v", MAJOR, "id", self.id, "t", self.type, "src", self.source]
        fields += ["ts", str(self.created_on)]
        if self.expires_on:
            fields += ["exp", str(self.expires_on)]
        if self.reply_to:
            fields += ["rt", self.reply_to]
        if self.correlation:
            fields += ["cid", self.correlation]
        fields += ["n", str(self.attempt)]
        if self.traceparent:
            fields += ["tp", self.traceparent]
            if self.tracestate:
                fields += ["tst", self.tracestate]
        fields += ["d", self.body]
        return fields


def read_fields(flat: Sequence[bytes]) -> Envelope:
    """The envelope in an entry's fields; names that a newer writer added are ignored.

    Raises:
        BadEnvelopeError: a field is missing or wrong, or the major version is not ours.
    """
    fields = dict(zip(flat[::2], flat[1::2], strict=False))
    try:
        _check_version(fields[b"v"])
        deadline, attempt = fields.get(b"exp"), fields.get(b"n")
        return Envelope(
            fields[b"id"].decode(),
            fields[b"t"].decode(),
            fields[b"src"].decode(),
            int(fields[b"ts"]),
            fields[b"d"],
            int(deadline) if deadline is not None else 0,
            fields.get(b"rt", b"").decode(),
            fields.get(b"cid", b"").decode(),
            max(1, int(attempt)) if attempt is not None else 1,
            fields.get(b"tp", b"").decode(),
            fields.get(b"tst", b"").decode(),
            fields.get(b"a", b""),
        )
    except KeyError as error:
        raise BadEnvelopeError(f"no field {error.args[0].decode()}") from None
    except BadEnvelopeError:
        raise
    except ValueError as error:
        raise BadEnvelopeError(type(error).__name__) from None


def _check_version(major: bytes) -> None:
    if major != MAJOR.encode():
        raise BadEnvelopeError(f"version {major[:8]!r}")


class MessageIds:
    """Makes UUIDv7 ids. They are names, not secrets: unique without asking the kernel each time."""

    def __init__(self) -> None:
        """Seeds from the kernel; make it after a fork, not before."""
        self._bits = random.Random(secrets.token_bytes(32)).getrandbits  # noqa: S311 - names, not secrets

    def new(self, now: int) -> str:
        """An id of the time ``now`` (Unix milliseconds), RFC 9562 §5.7."""
        return format_uuid7(now, self._bits(74))


def format_uuid7(now: int, bits: int) -> str:
    """The UUIDv7 of a time and 74 other bits."""
    since, random = f"{now & 0xFFFFFFFFFFFF:012x}", f"{bits & 0xFFFFFFFFFFFF:012x}"
    return f"{since[:8]}-{since[8:]}-7{bits >> 62:03x}-{0x8000 | bits >> 48 & 0x3FFF:04x}-{random}"
