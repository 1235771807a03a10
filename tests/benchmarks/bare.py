"""What everything is measured against: an aiohttp handler that parses the same form and answers as much.

``python -m tests.benchmarks.bare PORT``: on uvloop, in one process, as the services run.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

ANSWER: Final = json.dumps(
    {
        "access_token": "x" * 73,
        "token_type": "Bearer",
        "scope": "customise_score",
        "userID": 2,
        "identifier": "Epic Games",
        "permissions": {"customise_score": True},
        "fromAPIClient": "x" * 20,
        "keyID": "x" * 16,
    }
).encode()


async def token(request: web.Request) -> web.Response:
    """Parses the form, looks at each field the token endpoint needs, answers a document of the same size."""
    form = await request.post()
    if not all(
        form.get(name) for name in ("grant_type", "code", "redirect_uri", "client_id", "client_secret")
    ):
        return web.Response(status=400)
    return web.Response(body=ANSWER, content_type="application/json", headers={"Cache-Control": "no-store"})


async def serve(port: int, path: str, handler: Handler) -> None:
    """Serves until it is killed."""
    app = web.Application()
    app.router.add_post(path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), "/token", token))
