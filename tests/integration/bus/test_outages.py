"""Redis that is away, stalls, forgets or is emptied: calls end in time, and everything comes back without a hand."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress

import pytest

from shared.bus import Bus, Consumer, Delivery, handler
from shared.errors import BusUnavailable, StoreUnavailable
from tests.integration.bus.conftest import (
    STREAM,
    Valkey,
    consuming,
    echoing,
    is_quiet,
    open_bus,
    until,
    works,
)
from tests.integration.bus.messages import Echo, EchoReply


async def test_a_bus_starts_without_its_server_and_works_when_it_comes(valkey: Valkey) -> None:
    """Refused at once until then, not after a wait."""
    valkey.kill()
    ours, theirs = Bus(valkey.url, source="auth_api"), Bus(valkey.url, source="key_issuer")
    async with asyncio.timeout(5):
        await ours.start()
        await theirs.start()
    async with consuming(echoing(theirs)):
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(BusUnavailable, match="down"):
                await ours.request(Echo(text="x"))
            with pytest.raises(StoreUnavailable):
                await ours.health()
            assert time.monotonic() - began < 5
        valkey.start()
        began = time.monotonic()
        await until(lambda: works(ours))
        assert time.monotonic() - began < 20
        await ours.health()
    await ours.stop()
    await theirs.stop()


async def test_a_server_that_would_throw_messages_away_is_refused(valkey: Valkey) -> None:
    """maxmemory-policy must be noeviction; mended, it is accepted without a restart of ours."""
    async with open_bus(valkey) as operator:
        await operator.redis.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        bus = Bus(valkey.url, source="auth_api")
        await bus.start()
        with pytest.raises(StoreUnavailable, match="noeviction"):
            await bus.ping()
        await operator.redis.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")

        async def is_accepted() -> bool:
            with suppress(StoreUnavailable):
                await bus.health()
                return True
            return False

        await until(is_accepted)
        await bus.stop()


async def test_a_full_server_is_unavailable_and_no_bug(valkey: Valkey) -> None:
    """OOM: senders hear that they may try again; nothing dies."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        await ours.request(Echo(text="before"))
        await ours.redis.execute("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreUnavailable):
            await ours.send(Echo(text="x"))
        with pytest.raises(BusUnavailable):
            await ours.request(Echo(text="x"))
        await ours.redis.execute("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: works(ours))


async def test_a_reply_stream_that_vanishes_is_made_again(valkey: Valkey) -> None:
    """The answers under way are lost and their requests end by the deadline; later ones arrive."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        await ours.request(Echo(text="before"))
        await ours.redis.execute("DEL", ours.reply_stream)
        await until(lambda: works(ours))


async def test_requests_under_way_survive_a_restart_of_the_server(valkey: Valkey) -> None:
    """What Redis had written down is handled and answered, if that is before the deadline."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        await ours.redis.execute("CONFIG", "SET", "appendfsync", "always")
        waiting = asyncio.create_task(ours.request(Echo(text="patient"), timeout=20))
        await until(lambda: _has_backlog(ours))
        valkey.kill()
        valkey.start()
        async with consuming(echoing(theirs)):
            assert (await waiting).text == "patient"
            await until(lambda: is_quiet(ours))


@pytest.mark.parametrize("blow", [("FLUSHALL",), ("DEL", STREAM)])
async def test_a_stream_that_vanishes_under_a_blocked_reader_is_made_again(
    valkey: Valkey, blow: tuple[str, ...]
) -> None:
    """NOGROUP and UNBLOCKED recreate the group; requests work again, also replies after a FLUSHALL."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        await ours.request(Echo(text="before"))
        await ours.redis.execute(*blow)
        await until(lambda: works(ours))


async def test_a_stalled_server_is_unavailable_within_three_seconds_and_recovers(valkey: Valkey) -> None:
    """SIGSTOP: every waiting call ends; after SIGCONT the same bus works again without a hand."""
    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs, consuming(echoing(theirs)):
        await ours.request(Echo(text="warm"))
        valkey.signal(signal.SIGSTOP)
        began = asyncio.get_running_loop().time()
        outcomes = await asyncio.gather(
            *(ours.request(Echo(text=str(number)), timeout=10) for number in range(50)),
            return_exceptions=True,
        )
        assert asyncio.get_running_loop().time() - began < 9
        assert all(isinstance(outcome, BusUnavailable) for outcome in outcomes)
        valkey.signal(signal.SIGCONT)
        await until(lambda: works(ours), seconds=20)


async def test_a_killed_server_is_survived_with_what_was_acknowledged(valkey: Valkey) -> None:
    """After kill -9 and a start on the same data: what ``send`` had returned for is handled, both ends recover."""
    handled: list[str] = []

    async def note(command: Echo, _delivery: Delivery) -> EchoReply:
        handled.append(command.text)
        return EchoReply(text=command.text)

    async with open_bus(valkey) as ours, open_bus(valkey, "key_issuer") as theirs:
        for number in range(20):
            await ours.send(Echo(text=str(number)))
        valkey.kill()
        async with consuming(Consumer(theirs, "key_issuer", [handler(Echo, note)])):
            with pytest.raises(BusUnavailable):
                await ours.request(Echo(text="down"))
            valkey.start()
            await until(lambda: set(handled) >= {str(number) for number in range(20)}, seconds=20)
            await until(lambda: works(ours), seconds=20)


async def _has_backlog(bus: Bus) -> bool:
    return bool(await bus.redis.execute("XLEN", STREAM))
