"""Listeners to the stream of revocations, as resource servers have them, and two processes that serve it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout

from shared.api_key import MintedKey
from shared.bus import names
from shared.contracts.events import KeysInvalidated
from shared.contracts.keys import RevokeKey
from shared.contracts.messages import Envelope
from tests.harness.stores import Servers, fresh_stores
from tests.integration.key_issuer.conftest import Desk, open_desk, until

PATH = "/api/v1/revocations"
BROADCAST = names.event_stream(KeysInvalidated.stream)


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

    async def beyond_heartbeats(self, seconds: float = 20.0) -> StreamEvent:
        """The next event that says more than that the stream is alive."""
        async with asyncio.timeout(seconds):
            while (event := await self.next()) is not None and event.name == "heartbeat":
                continue
        assert event is not None
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


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two processes on the same stores, and a service key."""

    one: Desk
    two: Desk
    service: MintedKey

    async def revoke(self, *keys: MintedKey) -> list[str]:
        """Revokes keys in this order; their ids."""
        for key in keys:
            await self.one.bus.request(RevokeKey(key_id=key.key_id, user_id=2, reason="owner"))
        return [key.key_id for key in keys]

    async def make_and_revoke(self, count: int) -> list[str]:
        """New keys that are revoked at once; their ids."""
        return await self.revoke(*[await self.one.make() for _ in range(count)])


async def tell(desk: Desk, key_ids: tuple[str, ...]) -> None:
    """Appends to the broadcast as the relay does."""
    event = KeysInvalidated(key_ids=key_ids, on=desk.bus.time.now())
    envelope = Envelope("an-id-of-tests", event.type, "key_issuer", event.on, event.to_wire())
    await desk.bus.redis.execute("XADD", BROADCAST, "*", *envelope.to_fields())


async def metric(desk: Desk, sample: str, default: float | None = None) -> float:
    """The value of one sample, without the prefix that all have."""
    async with desk.http.get(f"{desk.url}/metrics") as answer:
        text = await answer.text()
    for line in text.splitlines():
        if line.startswith(f"latchkey_{sample} "):
            return float(line.rpartition(" ")[2])
    assert default is not None, sample
    return default


async def ended(desk: Desk, reason: str) -> float:
    """How many streams of a process ended for this reason."""
    return await metric(desk, f'revocation_streams_ended_total{{reason="{reason}"}}', 0)


@asynccontextmanager
async def open_replicas(servers: Servers) -> AsyncIterator[Replicas]:
    """Both, and hear."""
    async with fresh_stores(servers) as stores, open_desk(stores) as one, open_desk(stores) as two:
        await until(one.is_well)
        await until(two.is_well)
        yield Replicas(one, two, await one.make_service_key())
