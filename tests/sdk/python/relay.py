"""What may stand between the guard and Latchkey: something that passes bytes on, or holds them back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

Pass = Callable[[bytes], Awaitable[bytes]]
"""Takes what Latchkey has sent on a stream; returns what the listener gets of it now."""


class Relay:
    """Passes everything on, but for the answers to listeners, of which it passes on what ``hold`` gives."""

    def __init__(self, target: str, streams_from: str | None = None) -> None:
        self._target, self._streams_from = target, streams_from or target
        self.url = ""
        self.hold: Callable[[], Pass] = lambda: _at_once
        """Makes, for each listener, what holds its answer back."""
        self.questions = 0
        """How many keys were asked about."""
        self.streams = 0
        """How many listeners came."""
        self.open = asyncio.Event()
        """Cleared: not a byte goes through, and nobody is told."""
        self.open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        begun = await reader.read(65_536)
        is_stream = b"/api/v1/revocations" in begun
        parts = urlsplit(self._streams_from if is_stream else self._target)
        beyond, forth = await asyncio.open_connection(parts.hostname, parts.port)
        self.streams += is_stream
        forth.write(await self._count(begun))
        back = asyncio.ensure_future(self._pass(beyond, writer, self.hold() if is_stream else _at_once))
        try:
            await self._pass(reader, forth, self._count)
        finally:
            back.cancel()
            with suppress(asyncio.CancelledError):
                await back
            for each in (writer, forth):
                each.close()

    async def _count(self, piece: bytes) -> bytes:
        self.questions += piece.count(b"/api/v1/oauth/introspect")
        return piece

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hold: Pass) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                passed = await hold(piece)
                await self.open.wait()
                writer.write(passed)
                await writer.drain()
            writer.close()


async def _at_once(piece: bytes) -> bytes:
    return piece


def after_headers(hold: Pass) -> Pass:
    """The same, once the head of the answer went through."""
    head = b""
    through = False

    async def hold_body(piece: bytes) -> bytes:
        nonlocal head, through
        if through:
            return await hold(piece)
        head += piece
        before, end, body = head.partition(b"\r\n\r\n")
        if not end:
            return b""
        through = True
        return before + end + await hold(body)

    return hold_body


def in_blocks(size: int) -> Pass:
    """Holds back until there are so many bytes."""
    held = b""

    async def hold(piece: bytes) -> bytes:
        nonlocal held
        held += piece
        if len(held) < size:
            return b""
        passed, held = held, b""
        return passed

    return hold


def late(seconds: float) -> Pass:
    """Everything comes, and everything comes late."""
    begun: list[float] = []

    async def hold(piece: bytes) -> bytes:
        if not begun:
            begun.append(0.0)
            await asyncio.sleep(seconds)
        return piece

    return hold


@asynccontextmanager
async def relaying(target: str, streams_from: str | None = None) -> AsyncIterator[Relay]:
    """One in front of this address; ``streams_from``: another process answers those who listen."""
    relay = Relay(target, streams_from)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(relay.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
