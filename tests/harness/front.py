"""One origin in front of the services, as the deployed reverse proxy is: it routes by path and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, web
from yarl import URL

from deploy.all_in_one import service_for
from shared.web.server import serving

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
)


@asynccontextmanager
async def fronting(urls: Mapping[str, str], port: int) -> AsyncIterator[str]:
    """Serves ``http://127.0.0.1:port`` from ``urls``: `auth-api`, `consent-ui`, `key-issuer` → address."""
    timeout = ClientTimeout(total=30)
    async with ClientSession(cookie_jar=DummyCookieJar(), timeout=timeout, auto_decompress=False) as http:

        async def forward(request: web.Request) -> web.Response:
            base = urls[service_for(request.path).replace("_", "-")]
            headers = [
                (name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP
            ]
            target = URL(base + request.raw_path, encoded=True)
            try:
                async with http.request(
                    request.method,
                    target,
                    headers=headers,
                    data=await request.read() or None,
                    allow_redirects=False,
                ) as answer:
                    body = await answer.read()
            except (ClientError, TimeoutError):
                return web.Response(status=502)
            response = web.Response(status=answer.status, body=body)
            response.headers.clear()
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            return response

        application = web.Application(client_max_size=1024 * 1024)
        application.router.add_route("*", "/{path:.*}", forward)
        async with serving(application, "127.0.0.1", port, drain_seconds=1):
            yield f"http://127.0.0.1:{port}"
