"""Server-sent events, read piece by piece (WHATWG HTML §9.2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST_EVENT: Final = 1_048_576
"""Bytes: a thousand keys take some 20,000."""


class BadStreamError(Exception):
    """What arrives is no stream of events that anybody could keep."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name, what it says, and its place in the stream."""

    name: str
    data: str
    place: str | None
    """The last ``id`` so far, to begin after it next time."""


class EventParser:
    """Takes bytes as they come, and returns the events that are complete."""

    def __init__(self) -> None:
        """At the beginning of a stream."""
        self._rest = bytearray()
        """The line that has no end yet."""
        self._size = 0
        """Of the lines of the event that has no end yet."""
        self._name = ""
        self._data: list[str] = []
        self._place: str | None = None

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that end in this piece.

        Raises:
            BadStreamError: an event grows without an end.
        """
        self._rest += piece
        if b"\n" in piece:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                event = self._take(line.removesuffix(b"\r").decode("utf-8", "replace"))
                if event is not None:
                    yield event
        if self._size + len(self._rest) > LONGEST_EVENT:
            raise BadStreamError

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._finish()
        self._size += len(line)
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and value.isascii() and value.isprintable():
            self._place = value or None
        return None

    def _finish(self) -> ServerEvent | None:
        name, data = self._name, "\n".join(self._data)
        self._name, self._data, self._size = "", [], 0
        return ServerEvent(name, data, self._place) if name else None
