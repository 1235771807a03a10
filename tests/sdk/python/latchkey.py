"""A Latchkey that says what a test wants, when it wants it: the two addresses that the guard speaks to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from deploy.embedded.ports import free_port
from latchkey_sdk import Guard, Refused
from shared.api_key import SERVICE_KEY, USER_KEY, MintedKey, mint_key
from shared.web.server import serving

SERVICE = mint_key("lk", SERVICE_KEY, "http://latchkey.test").token
BEAT_SECONDS = 0.3
"""Quicker than the real one, so that tests are."""


def mint() -> MintedKey:
    """A key with the right form."""
    return mint_key("lk", USER_KEY, "http://latchkey.test")


class PlayedLatchkey:
    """Answers as it was told, counts what it was asked, and keeps no promise of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.facts: dict[str, dict[str, Any]] = {}
        """Key → what is said of it."""
        self.questions: list[str] = []
        """The keys that were asked about."""
        self.places: list[str | None] = []
        """The ``Last-Event-ID`` of each listener that came."""
        self.answer: Callable[[], web.StreamResponse | None] = lambda: None
        """Answers introspections instead, where it gives something."""
        self.stream_answer: Callable[[], web.StreamResponse | None] = lambda: None
        """The same for listeners."""
        self.gate = asyncio.Event()
        """Introspections wait for it after they were decided."""
        self.gate.set()
        self.asked = asyncio.Event()
        """Some introspection was decided."""
        self.beats = True
        self._listeners: set[web.StreamResponse] = set()
        self._counter = 0

    def make(self, *permissions: str, **facts: Any) -> MintedKey:
        """A live key."""
        key = mint()
        self.facts[key.token] = {
            "active": True,
            "scope": " ".join(permissions),
            "username": "b",
            "sub": "2",
            "token_type": "Bearer",
            "iat": 1,
            "key_id": key.key_id,
            "client_id": "CXFervidex",
            **facts,
        }
        return key

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def application(self) -> web.Application:
        """The two addresses."""
        app = web.Application()
        app.router.add_post("/api/v1/oauth/introspect", self._introspect)
        app.router.add_get("/api/v1/revocations", self._revocations)
        app.cleanup_ctx.append(self._beating)
        return app

    async def say(self, name: str, data: object, *, place: str | None = None) -> None:
        """One event to every listener."""
        self._counter += 1
        event = f"id: {place or self._counter}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()
        for listener in tuple(self._listeners):
            with suppress(ConnectionError):
                await listener.write(event)

    async def invalidate(self, *keys: MintedKey) -> None:
        """Tells listeners to forget these."""
        await self.say("invalidate", {"keyIDs": [key.key_id for key in keys]})

    async def hang_up(self) -> None:
        """Ends every stream."""
        for listener in tuple(self._listeners):
            self._listeners.discard(listener)
            with suppress(ConnectionError):
                await listener.write_eof()

    async def _introspect(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        token = str(form["token"])
        self.questions.append(token)
        decided = self.facts.get(token, {"active": False})
        self.asked.set()
        await self.gate.wait()
        if request.headers.get("Authorization") != f"Bearer {SERVICE}":
            return web.json_response({"error": "invalid_token"}, status=401)
        return self.answer() or web.json_response(decided)

    async def _revocations(self, request: web.Request) -> web.StreamResponse:
        self.places.append(request.headers.get("Last-Event-ID"))
        other = self.stream_answer()
        if other is not None:
            return other
        if request.headers.get("Authorization") != f"Bearer {SERVICE}":
            return web.json_response({"error": "invalid_token"}, status=401)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if self.places[-1] is None:
            await response.write(b"id: 0\nevent: reset\ndata: {}\n\n")
        self._listeners.add(response)
        try:
            while response in self._listeners and request.transport is not None:
                await asyncio.sleep(0.05)
        finally:
            self._listeners.discard(response)
        return response

    async def _beating(self, _app: web.Application) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                if self.beats:
                    await self.say("heartbeat", {})
                await asyncio.sleep(BEAT_SECONDS)

        task = asyncio.ensure_future(beat())
        yield
        task.cancel()
        await self.hang_up()


@asynccontextmanager
async def played_latchkey() -> AsyncIterator[PlayedLatchkey]:
    """One that listens on a port of its own."""
    latchkey, port = PlayedLatchkey(), free_port()
    async with serving(latchkey.application(), "127.0.0.1", port, drain_seconds=0):
        latchkey.url = f"http://127.0.0.1:{port}"
        yield latchkey


async def until(is_so: Callable[[], bool], seconds: float = 15.0) -> None:
    """Polls until something is so."""
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def guarding(url: str, service_key: str = SERVICE, *, alive: bool = True) -> AsyncIterator[Guard]:
    """A guard of the service at this address; ``alive``: it hears revocations."""
    async with Guard(url, service_key) as guard:
        if alive:
            await until(lambda: guard.stream_alive)
        yield guard


async def refusal(guard: Guard, key: str | None, *permissions: str) -> Refused:
    """How a check is refused."""
    with pytest.raises(Refused) as caught:
        await guard.check(key, *permissions)
    return caught.value
