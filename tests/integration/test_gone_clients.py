"""Clients that leave before their request is read: that is their affair and no fault of ours."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from shared.web.body import read_body
from shared.web.failures import Problem
from shared.web.server import serving


@pytest.mark.parametrize("body", [b"a=1", b"a"], ids=["came whole", "came in part"])
async def test_a_body_of_a_client_that_is_gone_is_no_bug(body: bytes) -> None:
    """Whether aiohttp has all of the body or not, it is refused as one that cannot be read."""
    read: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    called = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        called.set()
        while request.transport is not None:
            await asyncio.sleep(0.01)
        try:
            read.set_result(await read_body(request))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            read.set_exception(error)
        return web.Response()

    application = web.Application()
    application.router.add_post("/", handle)
    async with serving(application, "127.0.0.1", 0, drain_seconds=1) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n" + body)
        await called.wait()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        async with asyncio.timeout(10):
            with pytest.raises(Problem) as refused:
                await read
    assert refused.value.failure.status == 400
