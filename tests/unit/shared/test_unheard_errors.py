"""Errors that nobody awaits: told, unless somebody has told of them already."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator

import pytest

from shared.web.server import tell_unheard


@pytest.fixture
async def loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """The loop of the test, which tells of errors as that of a service does."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(tell_unheard)
    yield loop
    loop.set_exception_handler(None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(-3, "Temporary failure in name resolution"), False),
        (ConnectionError("server sent an error response during SSL exchange"), False),
        (ValueError("a bug"), True),
    ],
)
async def test_a_connection_that_was_given_up_is_no_news(
    error: Exception, *, told: bool, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that cannot be reached is logged as an outage, once, and not as a trace for every try."""
    loop.create_future().set_exception(error)
    gc.collect()
    assert ("never retrieved" in caplog.text) is told


async def test_work_that_nobody_awaits_is_news(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a task the same error is told: that is work of ours."""

    async def work() -> None:
        raise ConnectionError("nobody caught it")

    task = loop.create_task(work())
    await asyncio.wait({task})
    del task
    gc.collect()
    assert "never retrieved" in caplog.text
