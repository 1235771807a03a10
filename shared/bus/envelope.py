"""The envelope: flat entry fields that tell of a message what must be known without parsing its body."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SCHEMA_MAJOR: Final = "1"
LARGEST_BODY: Final = 64 * 1024

Fields = list[bytes | str]
"""Field, value, field, value, … as XADD takes them."""


class BadEnvelopeError(ValueError):
    """The entry is no message of ours; the text says why."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as it arrived."""

    id: str
    """UUIDv7 in hex without dashes; the same on every retry."""
    type: str
    source: str
    created_on: int
    expires_on: int | None
    """Absolute deadline in ms; not begun after it."""
    reply_to: str | None
    correlation_id: str
    attempt: int
    trace: str | None
    body: bytes


def new_message_id() -> str:
    """A UUIDv7 (RFC 9562 §5.7) in hex: sorts by time, unique without asking anybody."""
    random = int.from_bytes(secrets.token_bytes(10), "big")
    value = (time.time_ns() // 1_000_000) << 80 | 7 << 76 | (random >> 68 & 0xFFF) << 64
    return f"{value | 2 << 62 | random & (1 << 62) - 1:032x}"


def pack(
    message_type: str,
    body: bytes,
    *,
    message_id: str,
    source: str,
    now: int,
    expires_on: int | None = None,
    reply_to: str | None = None,
    correlation_id: str = "",
    trace: str | None = None,
) -> Fields:
    """The entry fields of a new message.

    Raises:
        ValueError: the body is larger than 64 KiB.
    """
    if len(body) > LARGEST_BODY:
        raise ValueError(f"{message_type}: a body of {len(body)} bytes is too large for the bus")
    fields: Fields = ["v", SCHEMA_MAJOR, "id", message_id, "t", message_type, "src", source, "ts", str(now)]
    if expires_on is not None:
        fields += ("exp", str(expires_on))
    if reply_to is not None:
        fields += ("rt", reply_to)
    fields += ("cid", correlation_id or message_id, "n", "1")
    if trace is not None:
        fields += ("tp", trace)
    fields += ("d", body)
    return fields


def unpack(fields: Sequence[bytes]) -> Envelope:
    """Reads an entry's flat fields.

    Raises:
        BadEnvelopeError: a field is missing, malformed, or of a newer major version.
    """
    found = dict(zip(fields[::2], fields[1::2], strict=False))
    try:
        if found[b"v"] != b"1":
            raise BadEnvelopeError(f"schema major {found[b'v'][:8]!r} is not known here")
        expires = found.get(b"exp")
        reply_to = found.get(b"rt")
        trace = found.get(b"tp")
        return Envelope(
            id=found[b"id"].decode(),
            type=found[b"t"].decode(),
            source=found[b"src"].decode(),
            created_on=int(found[b"ts"]),
            expires_on=int(expires) if expires is not None else None,
            reply_to=reply_to.decode() if reply_to is not None else None,
            correlation_id=found[b"cid"].decode(),
            attempt=int(found[b"n"]),
            trace=trace.decode() if trace is not None else None,
            body=found[b"d"],
        )
    except KeyError as error:
        raise BadEnvelopeError(f"field {error.args[0]!r} is missing") from None
    except ValueError as error:
        raise BadEnvelopeError(str(error)) from None
