"""A TCP proxy in front of a store that a test can cut, stall, and mend: an outage without touching the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Severable:
    """Forwards connections to a server until it is told otherwise."""

    def __init__(self, url: str) -> None:
        """``url`` is the server's."""
        parts = urlsplit(url)
        self._parts = parts
        self._target = parts.hostname or "127.0.0.1", parts.port or 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._held: list[asyncio.Event] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Severable]:
        """Listens on a free port; ``url`` is the server's through it."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        credentials, at, _ = self._parts.netloc.rpartition("@")
        self.url = urlunsplit(self._parts._replace(netloc=f"{credentials}{at}127.0.0.1:{port}"))
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """Drops every connection and refuses new ones, as a server that died."""
        self._refusing = True
        self._flowing.set()
        self.let_go()
        for writer in self._writers:
            writer.transport.abort()

    def forget(self) -> None:
        """Passes nothing more on the connections that there are, and tells neither end; new ones work."""
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def hold(self) -> None:
        """The same, but what was sent arrives in the end, overtaken: when it is let go, also if its sender is gone."""
        self._held.append(self._flowing)
        self.forget()

    def let_go(self) -> None:
        """Passes on everything that was held."""
        for flowing in self._held:
            flowing.set()
        self._held.clear()

    def stall(self) -> None:
        """Forwards nothing any more but keeps the connections, as a server that hangs."""
        self._flowing.clear()

    def mend(self) -> None:
        """Works again."""
        self._refusing = False
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:  # the server is away, and so is the proxy
            writer.transport.abort()
            return
        mine = {writer, far_writer}
        self._writers |= mine
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, far_writer, self._flowing))
                group.create_task(self._forward(far_reader, writer, self._flowing))
        finally:
            self._writers -= mine

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                await flowing.wait()
                writer.write(data)
                await writer.drain()
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
