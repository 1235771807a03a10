"""The tail of a broadcast: every process hears all of it, and is told whenever it may have missed something."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.bus import BroadcastEntry, Bus, StreamTail, names
from shared.clock import SystemClock
from shared.contracts.events import KeysInvalidated
from shared.contracts.messages import Envelope
from tests.integration.bus.conftest import Valkey, answers, open_bus, until

STREAM = names.event_stream(KeysInvalidated.stream)


class Listener:
    """What one process hears."""

    def __init__(self, bus: Bus, most_past: int = 0) -> None:
        self.heard: list[str] = []
        self.gaps = 0
        self.past: list[str] = []
        self.tail = StreamTail(bus, KeysInvalidated, self._entry, self._gap, most_past)

    async def _entry(self, entry: BroadcastEntry[KeysInvalidated]) -> None:
        self.heard += entry.event.key_ids

    async def _gap(self, past: Sequence[BroadcastEntry[KeysInvalidated]]) -> None:
        self.gaps += 1
        self.past = [key_id for entry in past for key_id in entry.event.key_ids]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """Listens meanwhile."""
        task = asyncio.create_task(self.tail.run())
        await until(lambda: (self.gaps > 0 and self.tail._last_read_at > 0) or task.done())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])


async def tell(bus: Bus, key_id: str, body: bytes | None = None) -> None:
    """Appends a broadcast as the relay does."""
    event = KeysInvalidated(key_ids=(key_id,), on=1)
    envelope = Envelope(f"id-{key_id}", event.type, "key_issuer", bus.time.now(), body or event.to_wire())
    await bus.redis.execute("XADD", STREAM, "*", *envelope.to_fields())


async def test_every_process_hears_everything_from_its_start_on(valkey: Valkey) -> None:
    """What was before is a gap."""
    async with open_bus(valkey) as bus, Listener(bus).listening() as one:
        await tell(bus, "a")
        await until(lambda: one.heard == ["a"])
        async with Listener(bus).listening() as two:
            await tell(bus, "b")
            await until(lambda: one.heard == ["a", "b"])
            await until(lambda: two.heard == ["b"])
            assert (one.gaps, two.gaps) == (1, 1)


@pytest.mark.parametrize("blow", [("FLUSHALL",), ("DEL", STREAM)])
async def test_a_stream_that_begins_anew_is_a_gap(valkey: Valkey, blow: tuple[str, ...]) -> None:
    """And what comes then is heard."""
    async with open_bus(valkey) as bus, Listener(bus).listening() as one:
        await tell(bus, "a")
        await until(lambda: one.heard == ["a"])
        await bus.redis.execute(*blow)
        await until(lambda: one.gaps == 2)
        await tell(bus, "b")
        await until(lambda: one.heard == ["a", "b"])


async def test_a_lost_connection_is_a_gap(valkey: Valkey) -> None:
    """Also after a kill -9 of the server, which may have forgotten the latest."""
    async with open_bus(valkey) as bus, Listener(bus).listening() as one:
        await tell(bus, "a")
        await until(lambda: one.heard == ["a"])
        valkey.kill()
        valkey.start()
        await until(lambda: one.gaps >= 2)
        await until(lambda: answers(bus))
        await tell(bus, "b")
        await until(lambda: one.heard == ["a", "b"])


async def test_a_process_that_was_stopped_for_long_is_told_of_a_gap(valkey: Valkey) -> None:
    """In the middle of a read: the one answer that waited for it is old, and what came after may be trimmed."""
    clock = SetClock()
    async with open_bus(valkey, clock=clock) as bus, Listener(bus).listening() as one:
        await tell(bus, "a")
        await until(lambda: one.heard == ["a"])
        clock.ahead += 11 * 60
        await until(lambda: one.gaps == 2)
        await tell(bus, "b")
        await until(lambda: one.heard == ["a", "b"])


class SetClock(SystemClock):
    """The machine's time, and what a stopped process did not notice."""

    ahead = 0

    def monotonic(self) -> float:
        """Seconds."""
        return super().monotonic() + self.ahead


async def test_what_cannot_be_read_is_a_gap(valkey: Valkey) -> None:
    """It may have been the revocation of any key."""
    async with open_bus(valkey) as bus, Listener(bus).listening() as one:
        await tell(bus, "a", body=b"{")
        await until(lambda: one.gaps == 2)
        await bus.redis.execute("XADD", STREAM, "*", "foreign", "entry")
        await until(lambda: one.gaps == 3)
        await tell(bus, "b")
        await until(lambda: one.heard == ["b"])


@pytest.mark.parametrize("blow", [("FLUSHALL",), ("DEL", STREAM)])
async def test_a_stream_that_begins_anew_between_two_entries_is_a_gap(
    valkey: Valkey, blow: tuple[str, ...]
) -> None:
    """It holds entries again before it is looked at: what was lost with it may have been a revocation.

    So what it holds is the past, of which nothing was told: it does not follow on what was heard last.
    """
    async with open_bus(valkey) as bus, Listener(bus, most_past=10).listening() as one:
        await tell(bus, "a")
        await until(lambda: one.heard == ["a"])
        told_in = await bus.redis.execute("TIME")
        await until(lambda: _time_moves_on(bus, told_in))  # ids of one millisecond repeat themselves
        await asyncio.gather(bus.redis.execute(*blow), tell(bus, "b"))
        await until(lambda: one.gaps == 2)
        assert (one.heard, one.past) == (["a"], ["b"])
        await tell(bus, "c")
        await until(lambda: one.heard == ["a", "c"])


async def _time_moves_on(bus: Bus, since: list[bytes]) -> bool:
    seconds, micros = map(int, await bus.redis.execute("TIME"))
    return (seconds, micros // 1000) > (int(since[0]), int(since[1]) // 1000)


async def test_a_server_that_does_not_answer_is_a_gap(valkey: Valkey) -> None:
    """Nothing is heard meanwhile; once it answers, everything is doubted once and heard again."""
    async with open_bus(valkey) as bus, Listener(bus).listening() as one:
        valkey.signal(signal.SIGSTOP)
        await until(lambda: bus.clock.monotonic() - one.tail._last_read_at > 3)
        valkey.signal(signal.SIGCONT)
        await until(lambda: one.gaps >= 2)
        await tell(bus, "a")
        await until(lambda: one.heard == ["a"])
