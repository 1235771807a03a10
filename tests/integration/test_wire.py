"""Abuse case 59: framing, size and slowness, by raw sockets against a real `latchkey up`."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp import http_parser

from tests.harness.backends import new_folder
from tests.harness.processes import running_up

TOKEN: Final = "/api/v1/oauth/token"
GOOD: Final = b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n"
POST: Final = (
    b"POST /api/v1/oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
)
HALF_OPEN: Final = 300
DROPPED_SECONDS: Final = 25.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def url(run_directory: Path) -> Iterator[str]:
    """All services in a process of their own, as an operator runs them, without a proxy in front."""
    with running_up(new_folder(run_directory)) as url:
        yield url


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A bare connection."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def until_closed(reader: asyncio.StreamReader, seconds: float = DROPPED_SECONDS) -> bytes:
    """Everything that comes until the server closes; fails if it does not."""
    received = b""
    async with asyncio.timeout(seconds):
        with suppress(ConnectionResetError):
            while piece := await reader.read(65_536):
                received += piece
    return received


async def answer_to(url: str, *pieces: bytes) -> bytes:
    """What the server says to the bytes before it closes."""
    async with connected(url) as (reader, writer):
        with suppress(ConnectionResetError, BrokenPipeError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        return await until_closed(reader)


def status_of(answer: bytes) -> int:
    """The status of the first answer; 0 where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def statuses_of(answer: bytes) -> list[int]:
    """The statuses of all answers on a connection."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)]


def test_ac_59_the_compiled_parser_is_loaded() -> None:
    """The one in pure Python had most of the smuggling holes."""
    assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy


SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

COOKIES: Final = b"Cookie: " + b"a=0; " * 1_200 + b"a=0\r\n"


@pytest.mark.spec(
    "RFC 9112", "6.1", "A message whose framing is ambiguous is refused, and its connection closed"
)
@pytest.mark.parametrize(
    "request_bytes",
    {
        "length and chunked": POST
        + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + SMUGGLED,
        "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n" + SMUGGLED,
        "two lengths in one": POST + b"Content-Length: 0, 36\r\n\r\n" + SMUGGLED,
        "signed length": POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
        "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        "folded": POST + b"Transfer-Encoding:\r\n chunked\r\nX: y\r\n : z\r\n\r\n0\r\n\r\n" + SMUGGLED,
        "bad chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + SMUGGLED,
        "bare line feeds": b"GET /login HTTP/1.1\nHost: x\n\n" + SMUGGLED,
        "two hosts": b"GET /login HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + SMUGGLED,
        "no host": b"GET /login HTTP/1.1\r\n\r\n" + SMUGGLED,
        "NUL in a header": b"GET /login HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n" + SMUGGLED,
        "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40 + b"\r\n\r\n",
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "long cookies": b"GET /login HTTP/1.1\r\nHost: x\r\n" + COOKIES * 3 + b"\r\n",
        "long header": b"GET /login HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 65_536 + b"\r\n\r\n",
        "long path": b"GET /login?" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    }.items(),
    ids=lambda item: item[0],
)
async def test_ac_59_ambiguous_framing_is_refused(url: str, request_bytes: tuple[str, bytes]) -> None:
    """400 and closed; what follows is never taken for a request of its own."""
    answer = await answer_to(url, request_bytes[1])
    assert statuses_of(answer)[-1:] in ([400], [414], [431]), answer[:300]
    assert len(statuses_of(answer)) == 1
    assert b"Traceback" not in answer
    assert b"aiohttp" not in answer
    assert b"nosniff" in answer


@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        ((POST + b"Content-Length: 1048577\r\n\r\n",), (413,)),
        ((POST + b"Connection: close\r\nContent-Length: 70000\r\n\r\n", b"a" * 70_000), (413,)),
        (
            (
                POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"4000\r\n" + b"a" * 16_384 + b"\r\n",
            )
            + (b"4000\r\n" + b"a" * 16_384 + b"\r\n",) * 7
            + (b"0\r\n\r\n",),
            (413,),
        ),
        (
            (POST + b"Connection: close\r\nContent-Length: 39999\r\n\r\n", b"&".join([b"a=b"] * 10_000)),
            (400,),
        ),
        (
            (
                POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1;" + b"x" * 200_000 + b"\r\na\r\n0\r\n\r\n",
            ),
            (400, 413),
        ),
    ],
    ids=["announced", "sent", "in chunks", "ten thousand parameters", "a flood of chunk extensions"],
)
async def test_ac_59_what_is_too_large_is_refused(
    url: str, pieces: tuple[bytes, ...], statuses: tuple[int, ...]
) -> None:
    """413, or 400 where it is no size but a number; and the connection does not wait for the rest."""
    answer = await answer_to(url, *pieces)
    assert status_of(answer) in statuses, answer[:300]


async def test_ac_59_pipelined_requests_are_answered_in_their_order(url: str) -> None:
    """Three in one write: three answers; a malformed one closes before what follows it."""
    last = GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = await answer_to(url, GOOD + GOOD.replace(b"/login", b"/nothing") + last)
    assert statuses_of(answer) == [200, 404, 200]
    async with connected(url) as (reader, writer):
        writer.write(GOOD)
        assert status_of(await reader.readuntil(b"</html>")) == 200
        writer.write(b"GET / HTTP/1.1\r\nBroken\r\n\r\n" + GOOD)
        assert statuses_of(await until_closed(reader)) == [400]


async def test_ac_41_the_absolute_form_names_no_host(url: str) -> None:
    """`GET http://evil.example/…` is served as the path it holds; nothing in the answer leads there."""
    answer = await answer_to(
        url,
        b"GET http://evil.example/.well-known/oauth-authorization-server HTTP/1.1\r\nHost: evil.example\r\n"
        b"X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
    )
    assert status_of(answer) in (200, 400, 421)
    assert b"evil" not in answer


async def test_ac_59_half_open_connections_are_dropped_while_others_are_served(url: str) -> None:
    """Nothing, half a head, or a head that never ends: closed in time, and nobody else waits."""
    beginnings = (b"", b"GET /login HTTP/1.1\r\nHost: x\r\nX-A: ", b"POST ")
    opened = [
        await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port) for _ in range(HALF_OPEN)
    ]
    try:
        for number, (_, writer) in enumerate(opened):
            writer.write(beginnings[number % len(beginnings)])
        async with asyncio.TaskGroup() as tasks:
            drip = tasks.create_task(_drip([writer for _, writer in opened[1::3]]))
            served = tasks.create_task(served_meanwhile(url))
            await asyncio.gather(*(until_closed(reader) for reader, _ in opened))
            drip.cancel()
        assert served.result() < 1
    finally:
        for _, writer in opened:
            writer.close()


async def test_ac_59_slow_bodies_are_dropped_while_others_are_served(url: str) -> None:
    """A byte a second: 408 or 503 and closed, long before the body would be there."""
    opened = [await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port) for _ in range(30)]
    try:
        for _, writer in opened:
            writer.write(POST + b"Content-Length: 1000\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            drip = tasks.create_task(_drip([writer for _, writer in opened]))
            served = tasks.create_task(served_meanwhile(url))
            answers = await asyncio.gather(*(until_closed(reader) for reader, _ in opened))
            drip.cancel()
        assert {status_of(answer) for answer in answers} <= {408, 503}
        assert served.result() < 1
    finally:
        for _, writer in opened:
            writer.close()


async def _drip(writers: list[asyncio.StreamWriter]) -> None:
    """A byte a second on each connection that is still open."""
    while True:
        await asyncio.sleep(1)
        for writer in writers:
            if not writer.is_closing():
                with suppress(OSError):
                    writer.write(b"a")


async def served_meanwhile(url: str, path: str = "/login") -> float:
    """How long the slower ones of 40 requests of other clients took: the 95th percentile, in seconds."""
    took = []
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as http:
        for _ in range(40):
            started = time.monotonic()
            assert (await http.get(path)).status_code == 200
            took.append(time.monotonic() - started)
    return sorted(took)[int(len(took) * 0.95) - 1]
