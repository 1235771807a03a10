"""A Redis Cluster: everything of the bus in its slots, also while slots move and after a node was away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from shared.bus import (
    Bus,
    CommandError,
    Consumer,
    Delivery,
    Janitor,
    Script,
    handler,
    names,
)
from shared.bus.dead_letters import dead_letters, replay_dead_letter
from shared.bus.status import bus_status
from shared.clock import SystemClock
from shared.contracts.events import KeysInvalidated
from shared.errors import StoreUnavailable
from shared.redis.topology import slot_of
from tests.harness.buses import started
from tests.integration.bus import test_events, test_stream_tail
from tests.integration.bus.cluster import Node, running_cluster, url_of
from tests.integration.bus.conftest import STREAM, consuming, echoing, until, works
from tests.integration.bus.messages import Echo, EchoReply

pytestmark = pytest.mark.slow


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[Node]]:
    """A cluster of the test's own."""
    async with running_cluster(tmp_path) as nodes:
        yield nodes


@asynccontextmanager
async def on_cluster(nodes: list[Node], source: str = "auth_api") -> AsyncIterator[Bus]:
    """One end of the bus."""
    async with started(Bus(url_of(nodes), source=source)) as bus:
        await until(lambda: _is_healthy(bus), 30)
        yield bus


async def test_everything_of_the_bus_stays_in_its_slots(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No CROSSSLOT: requests, batches, retries, dead letters, events, broadcasts, scripts, status, the janitor."""
    monkeypatch.setattr("shared.bus.acknowledger.RETRY_SECONDS", (0.01,))

    async def many(commands: Sequence[Echo], deliveries: Sequence[Delivery]) -> list[EchoReply | Exception]:
        outcomes: list[EchoReply | Exception] = []
        for command, delivery in zip(commands, deliveries, strict=True):
            if command.text == "later" and delivery.attempt < 3:
                outcomes.append(StoreUnavailable("postgres"))
            else:
                outcomes.append(EchoReply(text=command.text))
        return outcomes

    async with on_cluster(nodes) as ours, on_cluster(nodes, "key_issuer") as theirs:
        consumer = Consumer(theirs, Echo.queue, [handler(Echo, many, batch=True)])
        group = test_events.Group(theirs, "one")
        async with consuming(consumer), consuming(group.consumer):
            replies = await asyncio.gather(*(ours.request(Echo(text=str(n))) for n in range(200)))
            assert [reply.text for reply in replies] == [str(n) for n in range(200)]
            assert (await ours.request(Echo(text="later"), timeout=20)).text == "later"
            await ours.send(Echo.model_construct())  # type: ignore[call-arg]  # unreadable
            await until(lambda: _has_letters(ours, 1))
            await test_events.tell(ours, "k")
            await until(lambda: group.heard == [("k", 1)])
            async with test_stream_tail.Listener(ours).listening() as listener:
                await test_stream_tail.tell(ours, "k")
                await until(lambda: listener.heard == ["k"])
            await Janitor(theirs).clean()
        (letter,) = await dead_letters(ours.redis)
        assert await replay_dead_letter(ours.redis, letter)
        status = await bus_status(ours.redis, SystemClock().now())
        assert {queue.stream: queue.backlog for queue in status.queues}[Echo.queue] == 1
        script = Script("test", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
        assert [await ours.redis.run_script(script, [f"key{n}"], [n]) for n in range(20)] == list(range(20))


async def test_slots_are_counted_as_the_servers_do(nodes: list[Node]) -> None:
    """CLUSTER KEYSLOT."""
    for key in ("foo{", "{}foo", "{a}{b}", STREAM, names.replies("auth_api.host.0a"), "lk:session:é"):
        assert slot_of(key) == await nodes[0].redis.execute("CLUSTER", "KEYSLOT", key)


async def test_a_slot_that_moves_is_followed(nodes: list[Node]) -> None:
    """Commands are asked for where they are, and redirected while they move; readers go with their streams."""
    async with (
        on_cluster(nodes) as ours,
        on_cluster(nodes, "key_issuer") as theirs,
        consuming(echoing(theirs)),
    ):
        await until(lambda: works(ours), 30)
        await ours.redis.execute("SET", "lk:{key_issuer:0}:code:x", "kept")
        slot = slot_of(STREAM)
        source = next(n for n in range(3) if n * 16_384 // 3 <= slot < (n + 1) * 16_384 // 3)
        here, there = nodes[source], nodes[(source + 1) % 3]
        await there.redis.execute("CLUSTER", "SETSLOT", slot, "IMPORTING", await here.id())
        await here.redis.execute("CLUSTER", "SETSLOT", slot, "MIGRATING", await there.id())
        assert await ours.redis.execute("GET", "lk:{key_issuer:0}:code:absent") is None  # by way of ASK
        while found := await here.redis.execute("CLUSTER", "GETKEYSINSLOT", slot, 100):
            await here.redis.execute("MIGRATE", "127.0.0.1", there.port, "", 0, 5000, "KEYS", *found)
        for node in (there, here, *nodes):
            await node.redis.execute("CLUSTER", "SETSLOT", slot, "NODE", await there.id())
        assert await ours.redis.execute("GET", "lk:{key_issuer:0}:code:x") == b"kept"
        await until(lambda: works(ours), 30)


async def test_a_node_that_stalls_is_an_outage_of_its_slots_alone(nodes: list[Node]) -> None:
    """And over when it is."""
    async with (
        on_cluster(nodes) as ours,
        on_cluster(nodes, "key_issuer") as theirs,
        consuming(echoing(theirs)),
    ):
        await until(lambda: works(ours), 30)
        with pytest.raises(CommandError, match="CROSSSLOT"):
            await ours.redis.execute("MGET", "a", "b")
        await nodes[0].redis.execute("CLIENT", "PAUSE", 3000, "ALL")
        await until(lambda: works(ours), 30)
        event = KeysInvalidated(key_ids=("k",), on=1)
        await ours.redis.execute("XADD", names.event_stream(event.stream), "*", "d", event.to_wire())


async def test_a_cluster_that_is_not_there_is_an_outage() -> None:
    """Told at once, and waited for."""
    bus = Bus("redis+cluster://127.0.0.1:1,127.0.0.1:2", source="auth_api")
    await bus.start()
    with pytest.raises(StoreUnavailable):
        await bus.ping()
    with pytest.raises(StoreUnavailable):
        await bus.request(Echo(text="x"))
    await bus.stop()


async def _is_healthy(bus: Bus) -> bool:
    with suppress(StoreUnavailable):
        await bus.health()
        return True
    return False


async def _has_letters(bus: Bus, number: int) -> bool:
    return len(await dead_letters(bus.redis)) == number
