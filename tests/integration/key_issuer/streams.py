"""A listener to the stream of revocations, as a resource server has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout

PATH = "/api/v1/revocations"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """What one event says."""

    name: str
    data: dict[str, Any]
    id: str


class Stream:
    """Reads the events of one answer."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer
        self.last = ""
        """The id of the last event."""

    async def next(self, seconds: float = 10.0) -> StreamEvent | None:
        """The next event; ``None`` where the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(seconds):
            while line := await self.answer.content.readline():
                text = line.decode().removesuffix("\n")
                if not text:
                    break
                name, _, value = text.partition(": ")
                assert name in ("event", "data", "id")
                assert name not in fields
                fields[name] = value
        if not fields:
            return None
        event = StreamEvent(fields["event"], orjson.loads(fields["data"]), fields["id"])
        assert event.id
        self.last = event.id
        return event

    async def keys(self, *wanted: str, seconds: float = 10.0) -> list[str]:
        """The keys told of until all that are wanted were; heartbeats may lie between. A reset fails."""
        told: list[str] = []
        async with asyncio.timeout(seconds):
            while not set(wanted) <= set(told):
                event = await self.next()
                assert event is not None, told
                if event.name == "heartbeat":
                    assert event.data == {}
                    continue
                assert event.name == "invalidate", event
                told += event.data["keyIDs"]
        return told

    async def first(self, name: str, seconds: float = 10.0) -> StreamEvent:
        """The next event, which has this name."""
        event = await self.next(seconds)
        assert event is not None
        assert event.name == name, event
        return event

    async def end(self, seconds: float = 10.0) -> list[str]:
        """Waits for the end of the stream; the names of the events that came before."""
        names: list[str] = []
        async with asyncio.timeout(seconds):
            while (event := await self.next(seconds)) is not None:
                names.append(event.name)
        return names


@asynccontextmanager
async def listening(url: str, token: str, place: str | None = None, **headers: str) -> AsyncIterator[Stream]:
    """An open stream at the service of this address."""
    headers = {"Authorization": f"Bearer {token}", **headers}
    if place is not None:
        headers["Last-Event-ID"] = place
    timeout = ClientTimeout(total=None, sock_read=30)
    async with ClientSession(timeout=timeout) as http, http.get(f"{url}{PATH}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        yield Stream(answer)
