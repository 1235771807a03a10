"""A program that an SDK protects: ``/scores`` for whoever has a good key. ``python -m tests.chaos.guarded PORT URL KEY``."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from aiohttp import web

from latchkey_sdk import Guard
from latchkey_sdk.aiohttp import middleware


async def _scores(request: web.Request) -> web.Response:
    return web.json_response({"user": request["latchkey"].username})


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _application(url: str, service_key: str) -> web.Application:
    guard = Guard(url, service_key)

    async def guarding(_application: web.Application) -> AsyncIterator[None]:
        async with guard:
            yield

    guarded = web.Application(middlewares=[middleware(guard)])
    guarded.router.add_get("", _scores)
    application = web.Application()
    application.router.add_get("/readyz", _alive)
    application.add_subapp("/scores", guarded)
    application.cleanup_ctx.append(guarding)
    return application


if __name__ == "__main__":
    port, url, service_key = sys.argv[1:]
    web.run_app(_application(url, service_key), host="127.0.0.1", port=int(port), print=None)
