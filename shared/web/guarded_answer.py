"""An answer of aiohttp's client that is of bounded size, with all that it is wrapped in."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import ClientResponse
from aiohttp.connector import Connection

LARGEST_HEAD: Final = 32 * 1024
"""Of an answer: its status line and headers, with all interim answers (1xx) before it."""
LARGEST_ANSWER: Final = 8 * 1024 * 1024
"""Of the rest, with all that frames it: chunks may be mostly frame, and the number of one may begin with zeros without end."""


class GuardedAnswer(ClientResponse):
    """aiohttp takes interim answers without end, and never lets go of the event loop while they come.

    It also ends connections as TLS wants it (RFC 8446 §6.1), for which the other side may let us wait for half a minute.
    """

    _way: asyncio.Transport | None = None

    def end(self) -> None:
        """Drops the connection at once, whatever was read of it."""
        self.close()
        if self._way is not None:
            self._way.abort()

    async def start(self, connection: Connection) -> ClientResponse:
        """Reads the head. One that is too long never ends: whoever waits for it gives up in time."""
        transport, reader = connection.transport, connection.protocol
        if transport is None or reader is None:
            return await super().start(connection)
        self._way = transport
        gate = _Gate(transport, reader)
        transport.set_protocol(gate)
        try:
            await super().start(connection)
        except BaseException:
            self.end()
            raise
        gate.open()
        return self


class _Gate(asyncio.Protocol):
    """Stands before the reader of a connection and lets no more pass than a head, and then no more than an answer."""

    def __init__(self, way: asyncio.Transport, reader: asyncio.Protocol) -> None:
        self._way: Final = way
        self._reader: Final = reader
        self._room = LARGEST_HEAD
        self._kept = b""
        """What came in one piece with the end of the head; the transport reads no more meanwhile."""
        self._is_open = False

    def open(self) -> None:
        """The head is in, or nobody waits for it any more; the body's reader stops the transport itself when it has enough."""
        self._is_open, self._room = True, LARGEST_ANSWER
        kept, self._kept = self._kept, b""
        if not self._way.is_closing():
            self._way.resume_reading()
        if kept:
            self.data_received(kept)

    def data_received(self, data: bytes) -> None:
        passed, rest = data[: self._room], data[self._room :]
        self._room -= len(passed)
        if not self._room and self._is_open:
            self._way.abort()
        elif not self._room:
            self._kept += rest
            self._way.pause_reading()
        if passed:
            self._reader.data_received(passed)

    def eof_received(self) -> bool | None:
        return self._reader.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._kept:  # the reader of the head has its turn first, and opens
            asyncio.get_running_loop().call_soon(self._reader.connection_lost, exc)
        else:
            self._reader.connection_lost(exc)

    def pause_writing(self) -> None:
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        self._reader.resume_writing()
