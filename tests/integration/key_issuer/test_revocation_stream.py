"""`GET /api/v1/revocations`: resource servers hear of what was taken back, and never miss any of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from services.key_issuer import listeners
from shared.api_key import MintedKey
from shared.bus import names
from shared.bus.envelope import Envelope
from shared.contracts.events import KeysInvalidated
from shared.contracts.keys import RevokeKey
from tests.harness.stores import Servers, fresh_stores
from tests.integration.key_issuer.conftest import Desk, mint, open_desk, until
from tests.integration.key_issuer.streams import PATH, listening

BROADCAST = names.event_stream(KeysInvalidated.stream)


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


@pytest.fixture(scope="module")
async def replicas(servers: Servers) -> AsyncIterator[Replicas]:
    """For the tests of the module together."""
    async with fresh_stores(servers) as stores, open_desk(stores) as one, open_desk(stores) as two:
        await until(one.is_well)
        await until(two.is_well)
        yield Replicas(one, two, await one.make_service_key())


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


async def test_a_lost_connection_to_redis_costs_a_listener_nothing(replicas: Replicas) -> None:
    """What was told meanwhile is told when it is back, in order and once."""
    async with listening(replicas.one.url, replicas.service.token) as stream:
        await stream.first("reset")
        told: list[str] = []
        for _ in range(5):
            clients = await replicas.one.bus.redis.execute("CLIENT", "LIST")
            tails = [
                line.split()[0].removeprefix("id=")
                for line in clients.decode().splitlines()
                if ":tail " in line
            ]
            assert len(tails) == 2
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
        while (event := await stream.next()) is not None and event.name == "heartbeat":
            continue
        assert event is not None
        assert event.name == "reset"
    for desk in (replicas.one, replicas.two):
        async with listening(desk.url, replicas.service.token, place) as stream:
            await stream.first("reset")


@pytest.mark.parametrize("blow", [("FLUSHDB",), ("DEL", "stream")])
async def test_a_broadcast_that_begins_anew_resets(replicas: Replicas, blow: tuple[str, ...]) -> None:
    """Nobody knows what was lost with it: open streams and old places alike."""
    token = replicas.service.token
    async with listening(replicas.one.url, token) as one, listening(replicas.two.url, token) as two:
        place = (await one.first("reset")).id
        await two.first("reset")
        await replicas.one.bus.redis.execute(*(BROADCAST if word == "stream" else word for word in blow))
        for stream in (one, two):
            while (event := await stream.next()) is not None and event.name == "heartbeat":
                continue
            assert event is not None
            assert event.name == "reset"
    async with listening(replicas.two.url, token, place) as stream:
        await stream.first("reset")
    await until(replicas.one.is_well)
    await until(replicas.two.is_well)


async def test_a_stream_ends_with_its_service_key(replicas: Replicas) -> None:
    """Revoked, and heard of: at once, at every process. Others go on."""
    service = await replicas.one.make_service_key()
    async with (
        listening(replicas.one.url, service.token) as one,
        listening(replicas.two.url, service.token) as two,
        listening(replicas.two.url, replicas.service.token) as other,
    ):
        for stream in (one, two, other):
            await stream.first("reset")
        report = {"token": service.token}
        async with replicas.one.http.post(
            f"{replicas.one.url}/api/v1/keys/report-leak", json=report
        ) as answer:
            assert answer.status == 202
        for stream in (one, two):
            assert "reset" not in await stream.end(5)
        await other.keys(service.key_id)
        await other.first("heartbeat")


@pytest.mark.parametrize("change", ["permissions = '{users}'", "ended_on = 1"])
async def test_a_stream_ends_with_a_service_key_that_nobody_told_of(replicas: Replicas, change: str) -> None:
    """Within six seconds: somebody changed the row by hand."""
    service = await replicas.one.make_service_key()
    async with listening(replicas.one.url, service.token) as stream:
        await stream.first("reset")
        await replicas.one.sql(f"UPDATE service_keys SET {change} WHERE key_id = $1", service.key_id)
        assert set(await stream.end(7)) <= {"heartbeat"}


async def test_a_key_has_so_many_streams_and_no_more(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 for the key that has too many, 503 where the process has; a place is free again when one goes."""
    token, other = replicas.service.token, await replicas.one.make_service_key()
    monkeypatch.setattr(listeners, "MOST_OF_A_KEY", 2)
    monkeypatch.setattr(listeners, "MOST_LISTENERS", 3)

    async def status(key: MintedKey) -> int:
        async with replicas.one.http.get(
            f"{replicas.one.url}{PATH}", headers={"Authorization": f"Bearer {key.token}"}
        ) as answer:
            if answer.status != 200:
                assert int(answer.headers["Retry-After"]) > 0
            return answer.status

    async def is_free() -> bool:
        return await status(replicas.service) == 200

    async with listening(replicas.one.url, token), listening(replicas.one.url, other.token):
        async with listening(replicas.one.url, token):
            assert await status(replicas.service) == 429
            assert await status(other) == 503
        await until(is_free)


async def test_a_listener_that_does_not_read_is_let_go(replicas: Replicas) -> None:
    """Nobody waits for it; others hear everything meanwhile."""
    before = await ended(replicas.one, "slow")
    host, port = replicas.one.url.removeprefix("http://").split(":")
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.setblocking(False)
        await asyncio.get_running_loop().sock_connect(lazy, (host, int(port)))
        head = f"GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {replicas.service.token}\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(lazy, head.encode())
        async with listening(replicas.one.url, replicas.service.token) as stream:
            await stream.first("reset")
            for number in range(400):
                keys = tuple(f"{number}-{key}-{'k' * 50}" for key in range(900))
                await tell(replicas.one, keys)
                assert await stream.keys(*keys) == list(keys)
                if await ended(replicas.one, "slow") > before:
                    break
            else:
                raise AssertionError("it is still there")
            await stream.first("heartbeat")


async def test_more_keys_than_are_kept_are_a_reset(replicas: Replicas) -> None:
    """A listener that missed so many forgets everything: that is less to send."""
    async with listening(replicas.one.url, replicas.service.token) as stream:
        place = (await stream.first("reset")).id
        for number in range(12):
            keys = tuple(f"many-{number}-{key}" for key in range(900))
            await tell(replicas.one, keys)
            assert await stream.keys(*keys) == list(keys)
    async with listening(replicas.one.url, replicas.service.token, place) as stream:
        await stream.first("reset")


async def test_bad_keys_cost_what_they_cost_elsewhere(replicas: Replicas) -> None:
    """No row is read for what is no key, and none twice for a key that there is not."""
    unknown = mint("s").token

    async def nobody_listens() -> bool:
        return await metric(replicas.one, "revocation_listeners") == 0

    await until(nobody_listens)
    before = await replicas.one.misses()
    for token in ("x", "lks_" + "a" * 70, unknown[:-1] + "x", unknown):
        for _ in range(50):
            headers = {"Authorization": f"Bearer {token}"}
            async with replicas.one.http.get(f"{replicas.one.url}{PATH}", headers=headers) as answer:
                assert answer.status == 401
    assert await replicas.one.misses() - before <= 5
    assert await nobody_listens()


async def test_streams_are_counted_and_logged_at_their_end(
    replicas: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    """How long one was open is no time that an answer took."""
    async with listening(
        replicas.one.url, replicas.service.token, **{"X-Request-ID": "stream-of-this-test"}
    ) as stream:
        assert stream.answer.headers["X-Request-ID"] == "stream-of-this-test"
        resets = await metric(replicas.one, 'revocation_events_total{event="reset"}')
        await stream.first("reset")
        assert await metric(replicas.one, 'revocation_events_total{event="reset"}') >= resets
        assert await metric(replicas.one, "revocation_listeners") == 1
        gone = await ended(replicas.one, "gone")
        assert "stream-of-this-test" not in caplog.text

    async def is_gone(before: float) -> bool:
        return await ended(replicas.one, "gone") > before

    await until(lambda: is_gone(gone))
    timed = await metric(replicas.one, f'http_request_seconds_count{{route="{PATH}"}}', 0)
    async with replicas.one.http.get(f"{replicas.one.url}{PATH}") as answer:
        assert answer.status == 401
    assert await metric(replicas.one, f'http_request_seconds_count{{route="{PATH}"}}') == timed + 1
    async with listening(replicas.one.url, replicas.service.token) as stream:
        await stream.first("reset")
    await until(lambda: is_gone(gone + 1))
    assert await metric(replicas.one, f'http_request_seconds_count{{route="{PATH}"}}') == timed + 1
