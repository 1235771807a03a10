"""The receiver of the clients' webhooks: it fails half of the time, and keeps what it has accepted."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.harness.people import Account, RegisteredClient
from tests.harness.tls import make_authority

UNTOLD: Final = ("abandoned", "superseded", "undelivered")
"""Reasons for which a key ends that never reached a program."""
RETRIES: Final = ",".join(["1"] * 5 + ["3"] * 15)
_STALLED_SECONDS: Final = 12.0
"""Longer than a try may take."""
_HURT: Final = 0.5


@dataclass(slots=True)
class Receiver:
    """Where every client's webhooks arrive."""

    rng: random.Random
    folder: Path
    failing: bool = True
    url: str = ""
    certificate: Path = Path()
    told: dict[tuple[str, str | None], set[str]] = field(default_factory=dict)
    """(type, key id) → the ids of the webhooks that said so and were accepted."""
    told_at: dict[tuple[str, str | None], float] = field(default_factory=dict)
    """When the first of them came, by the monotonic clock."""
    wrong: list[str] = field(default_factory=list)
    """What should not have arrived, in words."""
    refused: int = 0
    keys: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Of each client, by the end of its address: what its author was shown."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listens over TLS."""
        authority = make_authority(self.folder)
        self.certificate = authority.certificate
        application = web.Application()
        application.router.add_post("/{client}", self._receive)
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.context)
        await site.start()
        self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    @property
    def environ(self) -> dict[str, str]:
        """What auth_api needs in order to deliver here, and soon again after a failure."""
        return {
            "SSL_CERT_FILE": str(self.certificate),
            "LATCHKEY_PRIVATE_TARGETS": "on",
            "LATCHKEY_WEBHOOK_RETRY_SECONDS": RETRIES,
        }

    async def learn_keys(self, name: str, author: Account, client: RegisteredClient) -> None:
        """Reads the keys of a client whose address ends in ``name``, as its author does once."""
        answer = await author.send("GET", f"/api/v1/clients/{client.client_id}/webhook-keys", None, 200)
        self.keys[name] = answer["keys"]

    def lost(self, ended: Iterable[str]) -> list[str]:
        """Of these keys of clients, which ended, those of whose end nobody was told."""
        return [
            f"no webhook said that {key_id} ended"
            for key_id in ended
            if ("key.revoked", key_id) not in self.told
        ]

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.failing and self.rng.random() < _HURT:
            self.refused += 1
            return await self._fail(request)
        fault = self._fault_of(request, body)
        if fault is not None:
            self.wrong.append(fault)
        said = json.loads(body)
        key = said["type"], said["data"].get("keyID")
        self.told_at.setdefault(key, time.monotonic())
        self.told.setdefault(key, set()).add(request.headers["webhook-id"])
        return web.Response(status=204)

    async def _fail(self, request: web.Request) -> web.Response:
        """One of the ways in which receivers fail."""
        way = self.rng.choice(("status", "status", "cut", "late"))
        if way == "cut" and request.transport is not None:
            request.transport.abort()
        elif way == "late":
            await asyncio.sleep(_STALLED_SECONDS)
        return web.Response(status=self.rng.choice((500, 502, 404, 302, 429)))

    def _fault_of(self, request: web.Request, body: bytes) -> str | None:
        """Why a delivery is not to be believed: both signatures of the client's newest keys must be there and right."""
        headers = request.headers
        keys = self.keys[request.match_info["client"]][0]
        try:
            Webhook(keys["secret"]).verify(body, dict(headers))
        except WebhookVerificationError as error:
            return f"v1 of a delivery is refused: {error}"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(keys["publicKey"].removeprefix("whpk_")))
        signature = next(
            (each for each in headers["webhook-signature"].split() if each.startswith("v1a,")), "v1a,"
        )
        try:
            public.verify(base64.b64decode(signature.removeprefix("v1a,")), signed)
        except InvalidSignature:
            return "v1a of a delivery is wrong"
        return None
