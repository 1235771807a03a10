"""A server that breaks off in the middle of what was asked of it at once: every error is heard, none is logged as forgotten."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from shared.bus.requests import ReplyTail
from shared.errors import StoreUnavailable
from shared.redis.connection import connect
from shared.redis.topology import OneServer
from shared.redis.url import RedisAddress

SILENCE = b""
"""Instead of an answer: nothing more is said, and the socket stays open."""


@asynccontextmanager
async def breaking_server(
    script: dict[bytes, bytes | None], password: str | None = None
) -> AsyncIterator[RedisAddress]:
    """Answers what holds a word with that word's answer, where that is ``None`` by ending; all else with one OK."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while asked := await reader.read(65_536):
                answer = next((answer for word, answer in script.items() if word in asked), b"+OK\r\n")
                if answer is None:
                    break
                writer.write(answer)
        writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield RedisAddress(port=server.sockets[0].getsockname()[1], password=password)


@pytest.fixture
async def forgotten() -> AsyncIterator[list[dict[str, Any]]]:
    """What the loop says of errors that nobody heard."""
    said: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: said.append(context))
    yield said
    loop.set_exception_handler(None)


@pytest.mark.parametrize(
    "answer", [None, SILENCE, b"-WRONGPASS no\r\n", b"-LOADING soon\r\n" * 3, b"HTTP/1.1 400\r\n"]
)
async def test_a_login_that_breaks_off(forgotten: list[dict[str, Any]], answer: bytes | None) -> None:
    """One error for who wanted to connect, whatever of the login was answered."""
    async with breaking_server({b"AUTH": answer}, "wrong") as address:
        with pytest.raises(StoreUnavailable):
            await connect(address, client_name="test", patience=1, greet=[("PING",), ("INFO",)])
    gc.collect()
    await asyncio.sleep(0)
    assert forgotten == []


async def test_a_reply_stream_that_cannot_be_opened(forgotten: list[dict[str, Any]]) -> None:
    """The server ends between the question and the answers."""
    async with breaking_server({b"XADD": None, b"EXPIRE": b":0\r\n"}) as address:
        tail = ReplyTail(OneServer(address), "test", lambda *_: None)
        await tail.start()
        assert not tail.open.is_set()
        await tail.stop()
    gc.collect()
    await asyncio.sleep(0)
    assert forgotten == []
