"""Redis Sentinel: the bus follows the primary, and nothing but a moment is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from deploy.doctor.findings import Verdict
from deploy.doctor.redis_store import examine_redis
from shared.bus import Bus, CoalescingRedis, CommandError
from shared.errors import BusUnavailable, StoreUnavailable
from shared.redis.topology import topology_of
from shared.redis.url import parse_redis_url
from tests.harness.buses import started
from tests.integration.bus import test_stream_tail
from tests.integration.bus.conftest import consuming, echoing, until, works
from tests.integration.bus.messages import Echo
from tests.integration.bus.sentinels import Server, Watched, watched_redis

pytestmark = pytest.mark.slow

AGAIN_SECONDS = 60.0


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """A store of the test's own."""
    async with watched_redis(tmp_path) as watched:
        yield watched


def bus_on(url: str, source: str = "auth_api") -> AbstractAsyncContextManager[Bus]:
    """One end of the bus."""
    return started(Bus(url, source=source))


@asynccontextmanager
async def working_bus(watched: Watched) -> AsyncIterator[Bus]:
    """One end of the bus, with somebody at the other who answers."""
    async with (
        bus_on(watched.url()) as ours,
        bus_on(watched.url(), "key_issuer") as theirs,
        consuming(echoing(theirs)),
    ):
        await until(lambda: works(ours), AGAIN_SECONDS)
        yield ours


async def test_a_primary_that_is_killed_is_followed_by_another(watched: Watched) -> None:
    """By requests, by readers and by tails; and the old one, when it comes back, is talked to by nobody."""
    async with working_bus(watched) as bus, test_stream_tail.Listener(bus).listening() as listener:
        await watched.safe()
        watched.first.kill()
        await until(lambda: works(bus), AGAIN_SECONDS)
        assert await watched.second.role() == b"master"
        gaps = listener.gaps
        with suppress(StoreUnavailable):
            await test_stream_tail.tell(bus, "k")
        await until(lambda: "k" in listener.heard or listener.gaps > gaps, AGAIN_SECONDS)
        watched.first.start()
        await until(lambda: _is_replica(watched), AGAIN_SECONDS)
        await until(lambda: works(bus), AGAIN_SECONDS)
        await until(lambda: _is_left(watched.first), AGAIN_SECONDS)


async def test_a_failover_costs_outages_and_no_errors(watched: Watched) -> None:
    """Who asks meanwhile is answered or told that Redis is away; nothing else."""
    async with working_bus(watched) as bus:
        stop = asyncio.Event()

        async def ask(number: int) -> int:
            answered = 0
            while not stop.is_set():
                with suppress(BusUnavailable):
                    assert (await bus.request(Echo(text=str(number)))).text == str(number)
                    answered += 1
                await asyncio.sleep(0.01)
            return answered

        asking = [asyncio.create_task(ask(number)) for number in range(8)]
        await watched.fail_over()
        await until(lambda: works(bus), AGAIN_SECONDS)
        stop.set()
        assert all(await asyncio.gather(*asking))
        await bus.redis.execute("SET", "lk:written-after", "1")
        assert await watched.second.redis.execute("GET", "lk:written-after") == b"1"


async def test_a_primary_that_was_replaced_alive_is_left(watched: Watched) -> None:
    """It goes on answering, but what is written there is thrown away: every connection goes to the one named now."""
    async with working_bus(watched) as bus, test_stream_tail.Listener(bus).listening():
        await watched.name_second()
        await until(lambda: _is_left(watched.first), AGAIN_SECONDS)
        await until(lambda: works(bus), AGAIN_SECONDS)
        assert await watched.first.role() == b"master", "nobody sent us away"
        assert len(await _our_connections(watched.second)) > len(await _our_connections(watched.first)) == 0


async def test_a_replica_is_not_believed_whoever_names_it(watched: Watched) -> None:
    """Sentinels may be behind; a server that takes no writes is an outage."""
    topology = topology_of(parse_redis_url(watched.url()))
    topology.answered([[b"master", 1, []]])
    topology.answered([CommandError("NOPERM")])
    with pytest.raises(StoreUnavailable, match="replica"):
        topology.answered([await watched.second.redis.execute("ROLE")])


async def test_a_demoted_primary_is_left_at_its_first_refusal(watched: Watched) -> None:
    """It refuses writes as a replica; whoever is still connected to it asks anew who the primary is."""
    await watched.first.redis.execute("SET", "x", "1")
    connection = await watched.first.redis.connection_for(None)
    await connection.send(("REPLICAOF", "127.0.0.1", watched.second.port))
    with pytest.raises(StoreUnavailable, match="READONLY"):
        await connection.send(("SET", "x", "2"))
    assert not connection.is_open


async def test_a_replica_in_the_place_of_the_only_server_is_an_outage(watched: Watched) -> None:
    """Asked again with pauses, not stormed with connections: so that the process can also be stopped."""
    await until(lambda: _follows(watched.second), AGAIN_SECONDS)
    async with bus_on(f"redis://127.0.0.1:{watched.second.port}") as bus:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await bus.redis.execute("SET", "x", "1")
            with pytest.raises(StoreUnavailable):
                await bus.health()


async def test_a_read_that_a_demotion_ends_is_an_outage(watched: Watched) -> None:
    """UNBLOCKED, to whoever waited on a primary that is made a replica: no bug, and no word of one."""
    connection = await watched.first.redis.connection_for(None)
    waiting = connection.send(("XREAD", "BLOCK", 0, "STREAMS", "lk:x", "0"))
    await watched.second.redis.execute("REPLICAOF", "NO", "ONE")
    other = CoalescingRedis(f"redis://127.0.0.1:{watched.first.port}")
    await other.execute("REPLICAOF", "127.0.0.1", watched.second.port)
    with pytest.raises(StoreUnavailable):
        await waiting
    await other.close()


async def test_doctor_looks_at_sentinels_and_replicas(watched: Watched) -> None:
    """What it takes to fail over, each with what to do where it is missing."""
    await watched.safe()
    watched.sentinels[2].kill()
    (server, _) = await examine_redis(watched.url(), 0)
    found = {finding.subject: finding for finding in server.findings}
    names = [f"sentinel 127.0.0.1:{sentinel.port}" for sentinel in watched.sentinels]
    assert found[names[0]].detail == f"names 127.0.0.1:{watched.first.port}"
    assert found[names[2]].verdict is Verdict.PROBLEM
    assert found["replicas"].verdict is Verdict.OK
    assert "max-lag" in found["min-replicas-to-write"].advice
    assert found["role"].detail == "master"
    (unknown, _) = await examine_redis(watched.url("other"), 0)
    assert "no primary by the name" in unknown.findings[0].detail


async def test_a_primary_is_kept_while_no_sentinel_answers(watched: Watched) -> None:
    """And found again where the connection to it ends."""
    async with working_bus(watched) as bus:
        for sentinel in watched.sentinels:
            sentinel.kill()
        assert await works(bus)
        await watched.first.redis.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: works(bus), AGAIN_SECONDS)


async def test_an_unknown_name_is_told(watched: Watched) -> None:
    """With the sentinel that was asked, and without the URL."""
    async with bus_on(watched.url("other")) as bus:
        with pytest.raises(StoreUnavailable, match=r"sentinel 127\.0\.0\.1:\d+ knows no primary by the name"):
            await bus.ping()


async def test_sentinels_that_are_not_there_are_an_outage() -> None:
    """Told at once, and waited for."""
    async with bus_on("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main") as bus:
        with pytest.raises(StoreUnavailable, match="sentinel"):
            await bus.ping()
        with pytest.raises(BusUnavailable):
            await bus.request(Echo(text="x"))


async def _is_replica(watched: Watched) -> bool:
    return await watched.first.role() == b"slave"


async def _is_left(server: Server) -> bool:
    return not await _our_connections(server)


async def _our_connections(server: Server) -> list[str]:
    """Their names."""
    clients: bytes = await server.redis.execute("CLIENT", "LIST", "TYPE", "normal")
    rows = [dict(part.split("=", 1) for part in line.split()) for line in clients.decode().splitlines()]
    return [row["name"] for row in rows if row["name"].startswith(("auth_api", "key_issuer"))]


async def _follows(server: Server) -> bool:
    told: bytes = await server.redis.execute("INFO", "replication")
    return b"master_link_status:up" in told
