"""A tiny integrator: a callback on http and on https, and what arrives there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.embedded.ports import free_port

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
    try:
        for port, context in zip(ports, (None, _certified(), None), strict=True):
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield integrator
    finally:
        await runner.cleanup()


async def _home(_request: web.Request) -> web.Response:
    return web.Response(text="<title>Home</title><h1>Home</h1>", content_type="text/html")


def _certified() -> ssl.SSLContext:
    """A certificate for localhost that nobody but the test's browser accepts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "site.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(file)
    return context
