"""A gate in front of a server: open, shut (connections are refused and cut), silent (nothing passes), or cut at a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 65536


class Gate:
    """Passes bytes both ways while it is open."""

    def __init__(self, url: str) -> None:
        """``url`` is the server's; the gate has one of its own."""
        self._target = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0
        self._last_word = b""

    @property
    def url(self) -> str:
        """Where to connect instead of the server."""
        parts = self._target
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{self._port}" if user else f"127.0.0.1:{self._port}"
        return urlunsplit(parts._replace(netloc=netloc))

    async def open(self) -> Self:
        """Lets everybody through."""
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def shut(self) -> None:
        """Cuts every connection and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._writers.clear()

    def silence(self) -> None:
        """Keeps connections, takes new ones, and passes nothing."""
        self._open.clear()

    def cut_after(self, word: bytes) -> None:
        """Passes this word to the server once more, and cuts the connection in place of the answer."""
        self._last_word = word

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection(
                self._target.hostname, self._target.port
            )
            self._writers.add(there_writer)
            ending = asyncio.Event()
            await asyncio.gather(
                self._copy(reader, there_writer, ending), self._answer(there_reader, writer, ending)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                if self._last_word and self._last_word in data:
                    self._last_word = b""
                    ending.set()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                if ending.is_set():
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def gate_to(url: str) -> AsyncIterator[Gate]:
    """An open gate to this server."""
    gate = await Gate(url).open()
    try:
        yield gate
    finally:
        await gate.shut()
