"""A tiny integrator: a callback on http and on https, and what arrives there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from aiohttp import web

from deploy.embedded.ports import free_port
from tests.harness.tls import make_authority

PATIENCE_SECONDS: Final = 10.0


@dataclass(slots=True)
class Integrator:
    """The running site. ``onward`` is where its callback sends people next, like the front end of most apps."""

    http: str
    https: str
    other: str
    """Another origin of the same site."""
    arrivals: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    onward: str | None = None
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def arrival(self) -> dict[str, str]:
        """The parameters of the next person who comes back."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._arrived.wait()
        self._arrived.clear()
        return self.arrivals[-1]

    async def callback(self, request: web.Request) -> web.Response:
        """Notes who comes back, and says so or sends them on."""
        self.arrivals.append(dict(request.query))
        self.headers.append(dict(request.headers))
        self._arrived.set()
        if self.onward is not None:
            return web.Response(status=302, headers={"Location": self.onward})
        return web.Response(text="<title>Arrived</title><h1>Arrived</h1>", content_type="text/html")


@asynccontextmanager
async def running_integrator() -> AsyncIterator[Integrator]:
    """Serves the callback at ``/cb`` on three origins, one of them https with a certificate of its own."""
    ports = [free_port() for _ in range(3)]
    integrator = Integrator(
        http=f"http://127.0.0.1:{ports[0]}",
        https=f"https://localhost:{ports[1]}",
        other=f"http://localhost:{ports[2]}",
    )
    app = web.Application()
    app.router.add_get("/cb", integrator.callback)
    app.router.add_get("/home", _home)
    runner = web.AppRunner(app)
    await runner.setup()
    with TemporaryDirectory() as folder:
        context_of_https = make_authority(Path(folder)).context
    try:
        for port, context in zip(ports, (None, context_of_https, None), strict=True):
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield integrator
    finally:
        await runner.cleanup()


async def _home(_request: web.Request) -> web.Response:
    return web.Response(text="<title>Home</title><h1>Home</h1>", content_type="text/html")
