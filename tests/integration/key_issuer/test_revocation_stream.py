"""`GET /api/v1/revocations`: resource servers hear of what was taken back, and never miss any of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.bus import Bus
from tests.harness.stores import Servers
from tests.integration.key_issuer.conftest import mint, open_desk, until
from tests.integration.key_issuer.streams import BROADCAST, PATH, Replicas, listening, open_replicas, tell


@pytest.fixture(scope="module")
async def replicas(servers: Servers) -> AsyncIterator[Replicas]:
    """For the tests of the module together."""
    async with open_replicas(servers) as replicas:
        yield replicas


async def test_a_revocation_is_heard_at_every_process(replicas: Replicas) -> None:
    """After a reset, since nobody knows what the listener remembers; then heartbeats."""
    token = replicas.service.token
    async with listening(replicas.one.url, token) as one, listening(replicas.two.url, token) as two:
        for stream in (one, two):
            assert stream.answer.headers["Content-Type"] == "text/event-stream"
            assert (await stream.first("reset")).data == {}
        revoked = await replicas.make_and_revoke(3)
        assert await one.keys(*revoked) == revoked
        assert await two.keys(*revoked) == revoked
        assert one.last == two.last
        await one.first("heartbeat")
        await two.first("heartbeat")


async def test_a_listener_that_comes_back_gets_what_it_missed(replicas: Replicas) -> None:
    """At any process, in order and nothing twice, whatever its place was."""
    token = replicas.service.token
    async with listening(replicas.one.url, token) as stream:
        place = (await stream.first("reset")).id
    missed = await replicas.make_and_revoke(3)
    for desk in (replicas.one, replicas.two):
        async with listening(desk.url, token, place) as stream:
            assert await stream.keys(*missed) == missed
            later = await replicas.make_and_revoke(1)
            assert await stream.keys(*later) == later
            missed += later


async def test_the_headers_keep_proxies_from_holding_it_back(replicas: Replicas) -> None:
    """It is never kept nor compressed, also for one who would take that."""
    encodings = {"Accept-Encoding": "gzip, br, zstd, deflate"}
    async with listening(replicas.one.url, replicas.service.token, **encodings) as stream:
        headers = stream.answer.headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Request-ID"]
        assert "Content-Encoding" not in headers
        await stream.first("reset")


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer x", "Basic eDp5", "Bearer é"])
async def test_without_a_live_key_there_is_no_stream(replicas: Replicas, authorization: str | None) -> None:
    """401, as at every check."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with replicas.one.http.get(f"{replicas.one.url}{PATH}", headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert (await answer.json())["error"] == "invalid_token"


async def test_only_a_service_key_that_may_introspect_listens(replicas: Replicas) -> None:
    """403 for every other live key: another service's, a person's."""
    other = await replicas.one.make_service_key("users")
    person = await replicas.one.make()
    ended = mint("lks")
    for token, status in ((other.token, 403), (person.token, 403), (ended.token, 401)):
        headers = {"Authorization": f"Bearer {token}"}
        async with replicas.one.http.get(f"{replicas.one.url}{PATH}", headers=headers) as answer:
            assert answer.status == status
            if status == 403:
                assert 'scope="introspect"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_refused(replicas: Replicas, method: str) -> None:
    """A HEAD of what has no end says nothing."""
    headers = {"Authorization": f"Bearer {replicas.service.token}"}
    async with replicas.one.http.request(method, f"{replicas.one.url}{PATH}", headers=headers) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "place",
    [
        "",
        "0",
        "0-0",
        "$",
        ">",
        "-",
        "+",
        "1-1",
        "a" * 15_000,
        "é",
        "\udcff",
        "f" * 24,
        "0" * 24,
        "a, b",
        "\t x",
    ],
)
async def test_a_place_that_nobody_gave_is_none(replicas: Replicas, place: str) -> None:
    """Whatever stands there: the listener forgets everything, and hears what comes."""
    host, port = replicas.one.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET {PATH} HTTP/1.0\r\nAuthorization: Bearer {replicas.service.token}\r\nLast-Event-ID: {place}\r\n\r\n"
    writer.write(head.encode(errors="surrogateescape"))
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.0 200 ")
        told = await reader.readuntil(b"\n\n")
    assert b"Transfer-Encoding" not in told  # HTTP/1.0 has no chunks; nginx speaks it
    assert b"event: reset\ndata: {}\n\n" in told.partition(b"\r\n\r\n")[2]
    writer.close()


async def test_a_place_of_64_kb_is_refused_with_its_head(replicas: Replicas) -> None:
    """As every head of that size."""
    headers = {"Authorization": f"Bearer {replicas.service.token}", "Last-Event-ID": "a" * 64 * 1024}
    async with replicas.one.http.get(f"{replicas.one.url}{PATH}", headers=headers) as answer:
        assert answer.status == 400


async def test_a_place_whose_end_was_trimmed_is_too_old(replicas: Replicas) -> None:
    """Where a process started after that; one that heard it all still knows what was missed."""
    token = replicas.service.token
    async with listening(replicas.one.url, token) as stream:
        place = (await stream.first("reset")).id
    missed = await replicas.make_and_revoke(2)
    async with open_desk(replicas.one.stores) as early:
        await until(early.is_well)
        async with listening(early.url, token, place) as stream:
            heard = await stream.keys(*missed)  # from before its start; its relay says the latest again
            assert list(dict.fromkeys(heard)) == missed
    await replicas.one.bus.redis.execute("XTRIM", BROADCAST, "MAXLEN", "1")
    async with open_desk(replicas.one.stores) as late:
        await until(late.is_well)
        async with listening(late.url, token, place) as stream:
            await stream.first("reset")
    async with listening(replicas.two.url, token, place) as stream:
        assert list(dict.fromkeys(await stream.keys(*missed))) == missed


async def tails_of(bus: Bus) -> list[str]:
    """The connections by which processes hear of revocations, as Redis numbers them."""
    clients: bytes = await bus.redis.execute("CLIENT", "LIST")
    lines = clients.decode().splitlines()
    return [line.split()[0].removeprefix("id=") for line in lines if ":tail " in line]


async def test_a_lost_connection_to_redis_costs_a_listener_nothing(replicas: Replicas) -> None:
    """What was told meanwhile is told when it is back, in order and once."""
    async with listening(replicas.one.url, replicas.service.token) as stream:
        await stream.first("reset")
        told: list[str] = []
        for _ in range(5):
            tails = await tails_of(replicas.one.bus)
            assert len(tails) >= 2  # of a process of another test one may still be listed
            revoking = asyncio.create_task(replicas.make_and_revoke(2))
            for tail in tails:
                await replicas.one.bus.redis.execute("CLIENT", "KILL", "ID", tail)
            told += await revoking
        assert await stream.keys(*told) == told


async def test_an_entry_that_cannot_be_read_may_have_been_any_key(replicas: Replicas) -> None:
    """Its listeners forget everything, and places before it count no more."""
    async with listening(replicas.one.url, replicas.service.token) as stream:
        place = (await stream.first("reset")).id
        await replicas.one.bus.redis.execute("XADD", BROADCAST, "*", "foreign", "entry")
        assert (await stream.beyond_heartbeats()).name == "reset"
    for desk in (replicas.one, replicas.two):
        async with listening(desk.url, replicas.service.token, place) as stream:
            await stream.first("reset")


@pytest.mark.parametrize("blow", [("FLUSHDB",), ("DEL", "stream")])
async def test_a_broadcast_that_begins_anew_between_two_entries_resets(
    replicas: Replicas, blow: tuple[str, ...]
) -> None:
    """What was heard of the new one does not stand for what was lost with the old one."""
    redis, token = replicas.one.bus.redis, replicas.service.token
    async with listening(replicas.one.url, token) as one, listening(replicas.two.url, token) as two:
        await one.first("reset")
        await two.first("reset")
        words = (BROADCAST if word == "stream" else word for word in blow)
        await asyncio.gather(redis.execute(*words), tell(replicas.one, ("of-the-new-one",)))
        for stream in (one, two):
            assert (await stream.beyond_heartbeats()).name == "reset"


@pytest.mark.parametrize("blow", [("FLUSHDB",), ("DEL", "stream")])
async def test_a_broadcast_that_begins_anew_resets(replicas: Replicas, blow: tuple[str, ...]) -> None:
    """Nobody knows what was lost with it: open streams and old places alike."""
    token = replicas.service.token
    async with listening(replicas.one.url, token) as one, listening(replicas.two.url, token) as two:
        place = (await one.first("reset")).id
        await two.first("reset")
        await replicas.one.bus.redis.execute(*(BROADCAST if word == "stream" else word for word in blow))
        for stream in (one, two):
            assert (await stream.beyond_heartbeats()).name == "reset"
    async with listening(replicas.two.url, token, place) as stream:
        await stream.first("reset")
    await until(replicas.one.is_well)
    await until(replicas.two.is_well)
