"""Who listens to the revocations: for how long, how many, and what becomes of one that does not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from services.key_issuer import listeners
from shared.api_key import MintedKey
from tests.harness.stores import Servers
from tests.integration.key_issuer.conftest import mint, until
from tests.integration.key_issuer.streams import PATH, Replicas, ended, listening, metric, open_replicas, tell


@pytest.fixture(scope="module")
async def replicas(servers: Servers) -> AsyncIterator[Replicas]:
    """For the tests of the module together."""
    async with open_replicas(servers) as replicas:
        yield replicas


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
