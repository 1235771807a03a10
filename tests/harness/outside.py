"""The world outside, on loopback: a receiver over TLS, a listener that nobody may reach, and names that lead to either."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from shared.settings import Settings
from shared.web.guarded_fetcher import GuardedFetcher
from tests.harness.authority import Authority
from tests.harness.name_server import NameServer, serving_names

GOOD: Final = "hooks.outside.example"
"""The name of the receiver, which leads to 127.0.0.1."""
INNER: Final = "127.0.0.2"
"""Where nobody may get to; ``::ffff:127.0.0.2`` leads there too."""
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Receiver:
    """Takes requests and answers them all alike: with some bytes, or as a function does."""

    answer: bytes | Answering = OK
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    """What came of each, head and body."""
    sent: int = 0
    """Bytes that were handed to the connection by ``send``."""
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection, until whoever asks has gone."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length: ")
            self.requests.append(head + await reader.readexactly(int(length.partition(b"\r")[0] or 0)))
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
                await writer.drain()
            else:
                await self.answer(reader, writer)
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                await writer.wait_closed()

    async def send(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        """Sends as fast as it is taken."""
        writer.write(content)
        await writer.drain()
        self.sent += len(content)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a test reaches, and what it must not reach."""

    names: NameServer
    authority: Authority
    receiver: Receiver
    inner: Receiver
    port: int
    """Of both."""
    life: AsyncExitStack
    """What ends with the test."""

    @property
    def url(self) -> str:
        """Where the receiver takes requests."""
        return f"https://{GOOD}:{self.port}/hook?a=%20b"

    def fetcher(self, **settings: Any) -> GuardedFetcher:
        """One that asks this name server, and may go to loopback as others go to the world outside."""
        return GuardedFetcher(Settings(private_targets=True, **settings), self.names.look_up)

    async def listen(self, receiver: Receiver) -> int:
        """Starts one more, without TLS, for the test's life; its port."""
        return await _listening(self.life, receiver, "127.0.0.1", 0)


@asynccontextmanager
async def outside_world(folder: Path) -> AsyncIterator[Outside]:
    """All of it, running."""
    authority = Authority(folder)
    receiver, inner = Receiver(), Receiver()
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(serving_names({GOOD: ["127.0.0.1"]}))
        tls = authority.server_context(GOOD, "127.0.0.1")
        port = await _listening(stack, receiver, "127.0.0.1", 0, tls)
        await _listening(stack, inner, INNER, port)
        yield Outside(names, authority, receiver, inner, port, stack)


async def _listening(
    life: AsyncExitStack, receiver: Receiver, host: str, port: int, tls: ssl.SSLContext | None = None
) -> int:
    server = await asyncio.start_server(receiver.serve, host, port, ssl=tls)

    async def end() -> None:
        """Whoever asked has gone, and what served them sees it."""
        server.close()
        if receiver.serving:
            await asyncio.wait(receiver.serving, timeout=10)

    life.push_async_callback(end)
    return int(server.sockets[0].getsockname()[1])
