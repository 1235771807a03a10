"""What is fetched for users ends in bounded time and size, whatever is answered (AC-47)."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress

import pytest

from shared.settings import Settings
from shared.web.guarded_fetcher import FetchFailedError, GuardedFetcher
from tests.harness.outside import OK, Outside, Receiver

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SOON = 1.0
"""Seconds that a fetch is given which will use them up."""
MOST_SENT = 24 * 1024 * 1024
"""What the buffers of two sockets and a few reads hold; a flood that is read to its end is more by far."""


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
    answer = await outside.fetcher().fetch("GET", outside.url, {}, seconds=30, most_bytes=10_000)
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
        await outside.fetcher().fetch("GET", outside.url, {}, seconds=SOON, most_bytes=10_000)
    assert outside.receiver.sent < MOST_SENT


async def test_the_event_loop_is_not_held_by_interim_answers(outside: Outside) -> None:
    """While a fetch is flooded with them others go on: once one held the loop for as long as they came."""
    flood(outside, b"", b"HTTP/1.1 100 C\r\n\r\n")
    fetching = asyncio.create_task(
        outside.fetcher().fetch("GET", outside.url, {}, seconds=SOON, most_bytes=10_000)
    )
    turns = 0
    while not fetching.done():
        await asyncio.sleep(0)
        turns += 1
    with suppress(FetchFailedError):
        await fetching
    # Stopped once the head's room is taken, the loop turns idly; a flood that is parsed all the time leaves a few hundred.
    assert turns > 5_000


async def test_two_answers_at_once_are_one(outside: Outside) -> None:
    """What follows an answer is nobody's."""
    outside.receiver.answer = OK * 1_000
    answer = await outside.fetcher().fetch("GET", outside.url, {}, seconds=30, most_bytes=1_000)
    assert (answer.status, answer.body) == (200, b"hello")


async def test_interim_answers_before_an_answer_are_passed_over(outside: Outside) -> None:
    """A few, as there are (RFC 9110 §15.2), with a body that comes in the same piece and is larger than a head may be."""
    outside.receiver.answer = (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3
        + HEAD
        + b"Content-Length: 200000\r\n\r\n"
        + b"y" * 200_000
    )
    answer = await outside.fetcher().fetch("GET", outside.url, {}, seconds=30, most_bytes=1_000_000)
    assert (answer.status, len(answer.body)) == (200, 200_000)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 ", HEAD, HEAD + b"Content-Length: 9\r\n\r\nabc"])
async def test_a_slow_answer_ends_in_time(outside: Outside, sent: bytes) -> None:
    """It says nothing, or stops in the middle."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await outside.receiver.send(writer, sent)
        await reader.read()

    outside.receiver.answer = answer
    with pytest.raises(FetchFailedError, match="timeout"):
        await outside.fetcher().fetch("GET", outside.url, {}, seconds=0.3, most_bytes=10_000)


async def test_a_drop_at_a_time_wins_nothing(outside: Outside) -> None:
    """The time is that of the whole fetch, whatever comes meanwhile."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await outside.receiver.send(writer, HEAD + b"\r\n")
        while True:
            await outside.receiver.send(writer, b"x")
            await asyncio.sleep(0.01)

    outside.receiver.answer = answer
    with pytest.raises(FetchFailedError, match="timeout"):
        await outside.fetcher().fetch("GET", outside.url, {}, seconds=0.3, most_bytes=10_000)
    assert outside.receiver.sent > len(HEAD)


async def test_without_a_body_the_answer_is_there_with_its_head(outside: Outside) -> None:
    """A receiver that says 200 and dawdles has taken the delivery."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await outside.receiver.send(writer, HEAD + b"Content-Length: 9\r\n\r\n")
        await reader.read()

    outside.receiver.answer = answer
    answered = await outside.fetcher().fetch("POST", outside.url, {}, b"{}", seconds=30, most_bytes=0)
    assert (answered.status, answered.body) == (200, b"")


async def test_a_handshake_or_a_look_up_without_end_ends_in_time(outside: Outside) -> None:
    """The time counts from the first question."""

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await outside.listen(Receiver(answer=silent))
    with pytest.raises(FetchFailedError, match="timeout"):
        await outside.fetcher().fetch("GET", f"https://127.0.0.1:{port}/", {}, seconds=0.3, most_bytes=0)

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
    answer = await outside.fetcher().fetch("GET", outside.url, {}, seconds=30, most_bytes=10_000)
    assert answer.body == bomb
    assert b"Accept-Encoding: identity\r\n" in outside.receiver.requests[0]


async def test_odd_bytes_in_a_header_are_a_plain_text(outside: Outside) -> None:
    """A store takes every text that an answer brings."""
    outside.receiver.answer = HEAD + b"Retry-After: \xff\xed\xa0\x80\r\nContent-Length: 0\r\n\r\n"
    answer = await outside.fetcher().fetch("GET", outside.url, {}, seconds=30, most_bytes=0)
    answer.headers["retry-after"].encode()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", b"hello\r\n\r\n"])
async def test_half_an_answer_is_none(outside: Outside, sent: bytes) -> None:
    """Nor is what is no HTTP."""
    outside.receiver.answer = sent
    with pytest.raises(FetchFailedError, match=r"answer|connection"):
        await outside.fetcher().fetch("GET", outside.url, {}, seconds=30, most_bytes=1_000)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 304 Not Modified\r\n\r\nhello",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/2.0 200 OK\r\n\r\nhello",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: 99999999999999999999999999\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: odd\r\n\r\nhello",
        HEAD + b"Content-Encoding: br\r\n\r\nhello",
        CHUNKED + b"ffffffffffffffffffffff\r\nhello",
        CHUNKED + b"-1\r\nhello",
        CHUNKED + b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        HEAD + b"A\0: b\r\n\r\n",
        HEAD + b": b\r\n\r\n",
        HEAD + b" folded\r\n\r\n",
        HEAD
        + b"Location: https://[::1\r\nSet-Cookie: \xff=\xfe; Domain=..\r\nContent-Type: \xff\r\n\r\nhello",
        b"\xff\xfe\r\n\r\n",
        b"\x16\x03\x01\0\x05hello",
    ],
)
async def test_an_odd_answer_is_an_answer_or_none(outside: Outside, sent: bytes) -> None:
    """Whatever comes, nothing but an answer or an error of ours comes of it, in time."""
    outside.receiver.answer = sent
    with suppress(FetchFailedError):
        answer = await outside.fetcher().fetch("GET", outside.url, {}, seconds=30, most_bytes=1_000)
        assert answer.body in (b"", b"hello", b"\x81\x05hello")
