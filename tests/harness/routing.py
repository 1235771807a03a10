"""Several services as one site: each request goes to the service of its path, as the reverse proxy sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from deploy.all_in_one import service_for
from tests.harness.site import Site


@asynccontextmanager
async def routed_site(public_url: str, urls: Mapping[str, str]) -> AsyncIterator[Site]:
    """The site at `public_url` made of the services at `urls` (`auth-api` → address)."""
    async with ByPath(urls) as transport, Site.at(public_url, transport=transport) as site:
        yield site


class ByPath(httpx.AsyncBaseTransport):
    """Sends each request to the service of its path, and leaves all else of it alone."""

    def __init__(self, urls: Mapping[str, str], *, peer: str | None = None) -> None:
        """`auth-api`, `consent-ui`, `key-issuer` → address; ``peer`` is the loopback address to come from."""
        self._urls = {name.replace("-", "_"): httpx.URL(url) for name, url in urls.items()}
        self._inner = httpx.AsyncHTTPTransport(trust_env=False, local_address=peer)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The service's answer."""
        target = self._urls[service_for(request.url.path)]
        request.url = request.url.copy_with(scheme=target.scheme, host=target.host, port=target.port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes the connections once the site is gone; a client of it that closes leaves them to the others."""

    async def __aexit__(self, *_: object) -> None:
        """Closes the connections."""
        await self._inner.aclose()
