"""What is fetched for users ends in bounded time and size, and goes through the operator's proxy where there is one (AC-47)."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from shared.settings import Settings
from shared.web.guarded_fetcher import AddressRefusedError, FetchFailedError, GuardedFetcher
from tests.harness.outside import GOOD, INNER, OK, Outside, Receiver, outside_world

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SOON = 1.0
"""Seconds that a fetch is given which will use them up."""
MOST_SENT = 24 * 1024 * 1024
"""What the buffers of two sockets and a few reads hold; a flood that is read to its end is more by far."""


@pytest.fixture
async def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    """A world of the test's own, whose authority is trusted."""
    async with outside_world(tmp_path) as world:
        monkeypatch.setenv("SSL_CERT_FILE", str(world.authority.file))
        yield world


def fetcher_in(outside: Outside, proxy: str | None = None) -> GuardedFetcher:
    """A fetcher that may go to loopback as others go to the world outside."""
    return GuardedFetcher(Settings(private_targets=True, outgoing_proxy=proxy), outside.names.look_up)


def flood(outside: Outside, first: bytes, junk: bytes) -> None:
    """The receiver answers with ``first``, and then ``junk`` without end."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        piece = junk * (65_536 // len(junk))
        while True:
            await outside.receiver.send(writer, piece)

    outside.receiver.answer = answer


@pytest.mark.parametrize(
    ("first", "junk"),
    [
        (HEAD + b"\r\n", b"x" * 1_000),
        (HEAD + b"Content-Length: 99999999999\r\n\r\n", b"x" * 1_000),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED, b"1;a=b\r\nx\r\n"),
    ],
)
async def test_a_body_without_end_is_cut(outside: Outside, first: bytes, junk: bytes) -> None:
    """Its status counts, and no more of it is read than was asked for."""
    flood(outside, first, junk)
    answer = await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=30, most_bytes=10_000)
    assert (answer.status, answer.body) == (200, b"x" * 10_000)
    assert outside.receiver.sent < MOST_SENT


@pytest.mark.parametrize(
    ("first", "junk"),
    [
        (HEAD, b"A: b\r\n"),
        (HEAD + b"A: ", b"b" * 1_000),
        (b"HTTP/1.1 200 ", b"b" * 1_000),
        (b"", b"\r\n"),
        (b"", b"\0" * 1_000),
        (CHUNKED + b"0\r\n", b"A: b\r\n"),
        (CHUNKED, b"0" * 1_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    ],
)
async def test_a_head_without_end_is_no_answer(outside: Outside, first: bytes, junk: bytes) -> None:
    """Nor are interim answers without end, of which aiohttp takes as many as come."""
    flood(outside, first, junk)
    with pytest.raises(FetchFailedError):
        await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=SOON, most_bytes=10_000)
    assert outside.receiver.sent < MOST_SENT


async def test_the_event_loop_is_not_held_by_interim_answers(outside: Outside) -> None:
    """While a fetch is flooded with them others go on: once one held the loop for as long as they came."""
    flood(outside, b"", b"HTTP/1.1 100 C\r\n\r\n")
    fetching = asyncio.create_task(
        fetcher_in(outside).fetch("GET", outside.url, {}, seconds=SOON, most_bytes=10_000)
    )
    turns = 0
    while not fetching.done():
        await asyncio.sleep(0)
        turns += 1
    with suppress(FetchFailedError):
        await fetching
    # Stopped once the head's room is taken, the loop turns idly; a flood that is parsed all the time leaves a few hundred.
    assert turns > 5_000


async def test_it_is_so_on_the_loop_that_the_services_run_on(tmp_path: Path) -> None:
    """The connections of uvloop are other ones than asyncio's: answers, floods and a proxy's tunnel."""

    async def story() -> None:
        async with outside_world(tmp_path) as outside:
            with pytest.MonkeyPatch.context() as patching:
                patching.setenv("SSL_CERT_FILE", str(outside.authority.file))
                await test_interim_answers_before_an_answer_are_passed_over(outside)
                await test_a_body_without_end_is_cut(outside, CHUNKED, b"1\r\nx\r\n")
                await test_a_head_without_end_is_no_answer(outside, b"", b"HTTP/1.1 100 Continue\r\n\r\n")
                outside.receiver.requests.clear()
                outside.names.asked.clear()
                outside.receiver.answer = OK
                await test_the_operators_proxy_is_used_and_nothing_else(outside)

    def on_uvloop() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(story())

    await asyncio.to_thread(on_uvloop)


async def test_two_answers_at_once_are_one(outside: Outside) -> None:
    """What follows an answer is nobody's."""
    outside.receiver.answer = OK * 1_000
    answer = await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=30, most_bytes=1_000)
    assert (answer.status, answer.body) == (200, b"hello")


async def test_interim_answers_before_an_answer_are_passed_over(outside: Outside) -> None:
    """A few, as there are (RFC 9110 §15.2), with a body that comes in the same piece and is larger than a head may be."""
    outside.receiver.answer = (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3
        + HEAD
        + b"Content-Length: 200000\r\n\r\n"
        + b"y" * 200_000
    )
    answer = await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=30, most_bytes=1_000_000)
    assert (answer.status, len(answer.body)) == (200, 200_000)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 ", HEAD, HEAD + b"Content-Length: 9\r\n\r\nabc"])
async def test_a_slow_answer_ends_in_time(outside: Outside, sent: bytes) -> None:
    """It says nothing, or stops in the middle."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await outside.receiver.send(writer, sent)
        await reader.read()

    outside.receiver.answer = answer
    with pytest.raises(FetchFailedError, match="timeout"):
        await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=0.3, most_bytes=10_000)


async def test_a_drop_at_a_time_wins_nothing(outside: Outside) -> None:
    """The time is that of the whole fetch, whatever comes meanwhile."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await outside.receiver.send(writer, HEAD + b"\r\n")
        while True:
            await outside.receiver.send(writer, b"x")
            await asyncio.sleep(0.01)

    outside.receiver.answer = answer
    with pytest.raises(FetchFailedError, match="timeout"):
        await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=0.3, most_bytes=10_000)
    assert outside.receiver.sent > len(HEAD)


async def test_without_a_body_the_answer_is_there_with_its_head(outside: Outside) -> None:
    """A receiver that says 200 and dawdles has taken the delivery."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await outside.receiver.send(writer, HEAD + b"Content-Length: 9\r\n\r\n")
        await reader.read()

    outside.receiver.answer = answer
    answered = await fetcher_in(outside).fetch("POST", outside.url, {}, b"{}", seconds=30, most_bytes=0)
    assert (answered.status, answered.body) == (200, b"")


async def test_a_handshake_or_a_look_up_without_end_ends_in_time(outside: Outside) -> None:
    """The time counts from the first question."""

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await outside.listen(Receiver(answer=silent))
    with pytest.raises(FetchFailedError, match="timeout"):
        await fetcher_in(outside).fetch("GET", f"https://127.0.0.1:{port}/", {}, seconds=0.3, most_bytes=0)

    async def never(_host: str, _port: int) -> list[str]:
        answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        return await answer

    fetcher = GuardedFetcher(Settings(), never)
    with pytest.raises(FetchFailedError, match="timeout"):
        await fetcher.fetch("GET", outside.url, {}, seconds=0.3, most_bytes=0)


async def test_nothing_is_decompressed(outside: Outside) -> None:
    """A bomb stays as small as it came; it was not asked for either."""
    bomb = gzip.compress(b"\0" * 1_000_000)
    outside.receiver.answer = (
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    )
    answer = await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=30, most_bytes=10_000)
    assert answer.body == bomb
    assert b"Accept-Encoding: identity\r\n" in outside.receiver.requests[0]


async def test_odd_bytes_in_a_header_are_a_plain_text(outside: Outside) -> None:
    """A store takes every text that an answer brings."""
    outside.receiver.answer = HEAD + b"Retry-After: \xff\xed\xa0\x80\r\nContent-Length: 0\r\n\r\n"
    answer = await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=30, most_bytes=0)
    answer.headers["retry-after"].encode()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", b"hello\r\n\r\n"])
async def test_half_an_answer_is_none(outside: Outside, sent: bytes) -> None:
    """Nor is what is no HTTP."""
    outside.receiver.answer = sent
    with pytest.raises(FetchFailedError, match=r"answer|connection"):
        await fetcher_in(outside).fetch("GET", outside.url, {}, seconds=30, most_bytes=1_000)


class Proxy:
    """An operator's egress proxy: notes what it is asked for, and leads everything to one port."""

    def __init__(self, port: int) -> None:
        self.requests: list[bytes] = []
        self.receiver = Receiver(answer=self._pass_on)
        self._port = port
        self.refusal = b""

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusal:
            await self.receiver.send(writer, self.refusal)
            return
        there, to_there = await asyncio.open_connection("127.0.0.1", self._port)
        await self.receiver.send(writer, b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_copy(reader, to_there), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()


async def test_the_operators_proxy_is_used_and_nothing_else(outside: Outside) -> None:
    """It alone looks names up; it is told the user and password of its address, and the receiver is not."""
    proxy = Proxy(outside.port)
    port = await outside.listen(proxy.receiver)
    fetcher = fetcher_in(outside, f"http://egress:p%40ss@127.0.0.1:{port}")
    url = f"https://{GOOD}:8443/hook"
    answer = await fetcher.fetch("POST", url, {}, b"{}", seconds=30, most_bytes=1_000)
    assert (answer.status, answer.body) == (200, b"hello")
    (asked,) = proxy.receiver.requests
    assert asked.startswith(f"CONNECT {GOOD}:8443 HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic ZWdyZXNzOnBAc3M=\r\n" in asked
    assert b"proxy-authorization" not in outside.receiver.requests[0].lower()
    assert not outside.names.asked


async def test_ac_47_what_the_url_tells_is_refused_before_a_proxy_too(outside: Outside) -> None:
    """Literals and inner names, odd spellings, zones; the proxy hears of none."""
    proxy = Proxy(outside.port)
    port = await outside.listen(proxy.receiver)
    fetcher = GuardedFetcher(Settings(outgoing_proxy=f"http://127.0.0.1:{port}"))
    for host in (INNER, "localhost", "redis", "169.254.169.254", "[::1]", "[::ffff:127.0.0.2]", "2130706434"):
        with pytest.raises(AddressRefusedError):
            await fetcher.fetch("GET", f"https://{host}/", {}, seconds=30, most_bytes=0)
    assert proxy.receiver.connections == 0


async def test_a_proxy_that_refuses_or_is_away_is_told_apart(outside: Outside) -> None:
    """Then it is no fault of the receiver's, and nothing goes out past the proxy."""
    proxy = Proxy(outside.port)
    port = await outside.listen(proxy.receiver)
    proxy.refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    for address in (f"127.0.0.1:{port}", "127.0.0.1:1", f"nowhere.example:{port}"):
        with pytest.raises(FetchFailedError, match="proxy"):
            await fetcher_in(outside, f"http://{address}").fetch(
                "GET", outside.url, {}, seconds=30, most_bytes=0
            )
    assert outside.receiver.connections == 0
