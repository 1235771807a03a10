"""A program that receives webhooks, over TLS on loopback: it keeps what it heard and answers as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.harness.tls import Authority


@dataclass(frozen=True, slots=True)
class Heard:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        """The header of that name."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The body, parsed."""
        event: dict[str, Any] = json.loads(self.body)
        return event


Answering = Callable[[Heard], Awaitable[web.StreamResponse]]


async def accept(_heard: Heard) -> web.StreamResponse:
    """204."""
    return web.Response(status=204)


def answering(status: int, **headers: str) -> Answering:
    """The same answer each time; ``_`` in the name of a header is a hyphen."""

    async def answer(_heard: Heard) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, headers=named, text="what nobody is to see")

    return answer


@dataclass(slots=True)
class Receiver:
    """A running one. Set ``answer`` to change what it says."""

    url: str = ""
    """Without a path; every path is heard."""
    answer: Answering = accept
    heard: list[Heard] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keeps the request and answers."""
        heard = Heard(request.path, request.headers, await request.read())
        self.heard.append(heard)
        self._news.set()
        return await self.answer(heard)

    async def wait_for(self, number: int, seconds: float = 10) -> list[Heard]:
        """What was heard, once it is so much."""
        async with asyncio.timeout(seconds):
            while len(self.heard) < number:
                self._news.clear()
                await self._news.wait()
        return self.heard


@asynccontextmanager
async def receiving(authority: Authority, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """A receiver at a loopback address, or name, of the authority."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, host, 0, ssl_context=authority.context)
    await listener.start()
    port = runner.addresses[0][1]
    receiver.url = f"https://{host}:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
