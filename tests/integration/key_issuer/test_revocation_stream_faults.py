"""The stream of revocations while Redis, a process or the network is in trouble: silence or an end, never trust."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

from deploy.embedded.ports import free_port
from services.key_issuer.verification import STALE_AFTER_SECONDS
from tests.harness.processes import RunningProcess, starting
from tests.harness.stores import Servers, Stores, fresh_database
from tests.integration.bus.conftest import Valkey
from tests.integration.key_issuer.conftest import URL, Desk, open_desk, until
from tests.integration.key_issuer.streams import PATH, listening

DEAF_SECONDS = STALE_AFTER_SECONDS + 2
"""Until streams have ended, on a slow machine."""


@asynccontextmanager
async def serving_process(
    desk: Desk, folder: Path, *options: str
) -> AsyncIterator[tuple[RunningProcess, str]]:
    """One more replica, in a process of its own, and its address."""
    port = free_port()
    environ = {**desk.stores.environment(), "LATCHKEY_PUBLIC_URL": URL, "LATCHKEY_LOG_FORMAT": "json"}
    with starting(
        "serve", "key-issuer", "--port", str(port), *options, folder=folder, environ=environ
    ) as process:
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(30), ClientSession() as http:
            other = replace(desk, url=url, http=http)

            async def is_well() -> bool:
                with suppress(ClientError):
                    return await other.is_well()
                return False

            await until(is_well, 30)
        yield process, url


@pytest.fixture
async def desk(servers: Servers, valkey: Valkey) -> AsyncIterator[Desk]:
    """One process on stores of the test's own."""
    async with fresh_database(servers) as database_url, open_desk(Stores(database_url, valkey.url)) as desk:
        await until(desk.is_well)
        yield desk


async def pause_writes(valkey: Valkey, desk: Desk) -> None:
    """Redis takes nothing, but answers who reads."""
    await desk.bus.redis.execute("CLIENT", "PAUSE", "8000", "WRITE")


async def pause_all(valkey: Valkey, desk: Desk) -> None:
    """Redis answers nothing."""
    valkey.signal(signal.SIGSTOP)


async def kill(valkey: Valkey, desk: Desk) -> None:
    """Redis is gone."""
    valkey.kill()


@pytest.mark.parametrize("blow", [pause_writes, pause_all, kill])
async def test_a_process_that_cannot_hear_ends_its_streams_and_begins_none(
    desk: Desk, valkey: Valkey, blow: Callable[[Valkey, Desk], Awaitable[None]]
) -> None:
    """It beats no heart by itself. Once it hears again, a listener goes on where it was."""
    service = await desk.make_service_key()
    headers = {"Authorization": f"Bearer {service.token}"}
    async with listening(desk.url, service.token) as stream:
        await stream.first("reset")
        await stream.first("heartbeat")
        await blow(valkey, desk)
        began = time.monotonic()
        told = await stream.end(DEAF_SECONDS)
        assert len(told) <= 1  # what was on its way
        assert time.monotonic() - began < DEAF_SECONDS
        place = stream.last
    async with desk.http.get(f"{desk.url}{PATH}", headers=headers) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
    async with desk.http.get(f"{desk.url}{PATH}") as answer:
        assert answer.status == 401
    if blow is kill:
        valkey.start()
    else:
        valkey.signal(signal.SIGCONT)
    await until(desk.is_well, 20)
    async with listening(desk.url, service.token, place) as stream:
        event = await stream.next()
        assert event is not None
        assert event.name == "heartbeat"


async def test_nothing_is_said_before_something_was_heard(desk: Desk, valkey: Valkey) -> None:
    """A listener that comes while Redis is silent already would count its three seconds too late."""
    service = await desk.make_service_key()
    async with listening(desk.url, service.token) as stream:
        await stream.first("reset")
        await stream.first("heartbeat")
        place = stream.last
    valkey.signal(signal.SIGSTOP)
    async with listening(desk.url, service.token) as fresh, listening(desk.url, service.token, place) as back:
        for stream in (fresh, back):
            assert await stream.end(DEAF_SECONDS) == []
    valkey.signal(signal.SIGCONT)
    await until(desk.is_well, 20)


async def test_a_process_that_was_stopped_ends_its_streams(desk: Desk, tmp_path: Path) -> None:
    """It was deaf, even if it had no time to notice: what lies in its socket is old."""
    service = await desk.make_service_key()
    async with serving_process(desk, tmp_path) as (process, url), listening(url, service.token) as stream:
        await stream.first("reset")
        await stream.first("heartbeat")
        os.kill(process.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        async with listening(desk.url, service.token) as other:
            while time.monotonic() - stopped < STALE_AFTER_SECONDS + 0.5:
                await other.next()
        os.kill(process.pid, signal.SIGCONT)
        assert len(await stream.end(5)) <= 1


async def test_a_stop_ends_the_streams_at_once(desk: Desk, tmp_path: Path) -> None:
    """SIGTERM: each ends in good order, and the process is not kept by any of them, nor by one that does not read."""
    service = await desk.make_service_key()
    async with serving_process(desk, tmp_path, "--linger", "30") as (process, url):
        async with listening(url, service.token) as one, listening(url, service.token) as two:
            for stream in (one, two):
                await stream.first("reset")
            began = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            await asyncio.gather(one.end(5), two.end(5))  # a chunked body without its end would be an error
        while process.process.poll() is None and time.monotonic() - began < 15:
            await asyncio.sleep(0.05)
        assert process.process.poll() == 0
        assert '"status": 200' in process.output()


async def test_a_listener_follows_a_rolling_restart(desk: Desk, tmp_path: Path) -> None:
    """From one process to the next, and misses nothing."""
    service = await desk.make_service_key()
    place = None
    missed: list[str] = []
    for _ in range(3):
        async with serving_process(desk, tmp_path) as (process, url):
            async with listening(url, service.token, place) as stream:
                if place is None:
                    await stream.first("reset")
                else:
                    await stream.keys(*missed)  # the relay of a new process says the latest once more
                process.process.send_signal(signal.SIGTERM)
                await stream.end(5)
                place = stream.last
            key = await desk.make()
            missed = [key.key_id]
            async with desk.http.post(
                f"{desk.url}/api/v1/keys/report-leak", json={"token": key.token}
            ) as answer:
                assert answer.status == 202
