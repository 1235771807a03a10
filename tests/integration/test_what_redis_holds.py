"""Promise 2 at Redis: nothing that anybody holds in clear is ever said to it, kept in it, or written to its file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from services.auth_api.token import exchange
from services.auth_api.webhooks import commands as webhook_commands
from services.auth_api.webhooks.signing import WebhookKey
from services.consent_ui import authorization_query
from services.consent_ui.handlers import consent_request
from shared.contracts.authorization import Flow
from shared.contracts.webhooks import WebhookKeyView
from shared.secret_tokens import digest_of
from tests.harness.participants import Participants, found_in
from tests.harness.rights import TEMPLATE, Deployment, deployed
from tests.harness.site import Site
from tests.harness.stores import Servers, Stores, fresh_database
from tests.integration.bus.conftest import Valkey, until
from tests.integration.consent_ui.visits import open_page
from tests.integration.every_flow import (
    DEVICE_CODE,
    IDEMPOTENCY_KEY,
    MISPLACED,
    VERIFIER,
    play_declined_device,
    play_every_flow,
    play_public_client,
    play_pushed_request,
    sign_up_on_the_page,
)

SEEN: Final = {
    *(
        "access_token",
        "authorization",
        "client_secret",
        "clientSecret",
        "code",
        "code_verifier",
        "continue",
        "cookie",
    ),
    *(
        "csrf",
        "device_code",
        "idempotency-key",
        "password",
        "peer",
        "request_uri",
        "shown on a page",
        "token",
    ),
    "user_code",
}
"""What must have crossed HTTP, lest flows are left out or nothing is noted of them."""
VARIABLES: Final = {"REGISTRATION": "on", "TRUSTED_PROXIES": "1"}


@pytest.fixture
async def valkey_stores(servers: Servers, tmp_path: Path) -> AsyncIterator[Stores]:
    """A database, and a Valkey with an append-only file that nobody else uses."""
    valkey = Valkey(tmp_path)
    valkey.start()
    try:
        async with fresh_database(servers) as database_url:
            await until(lambda: _answers(valkey.url))
            yield Stores(database_url, f"{valkey.url}/0")
    finally:
        valkey.kill()


class Watched:
    """All that a Redis has seen and holds."""

    def __init__(self, stores: Stores, folder: Path) -> None:
        """Nothing was seen yet."""
        self._url = stores.redis_url
        self._folder = folder
        self.said = bytearray()
        """Every command, those within scripts too, as MONITOR tells them."""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keeps what is said to the server from now on."""
        address = urlsplit(self._url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"MONITOR\r\n")
        assert await reader.readline() == b"+OK\r\n"

        async def listen() -> None:
            while piece := await reader.read(65_536):
                self.said += piece

        task = asyncio.create_task(listen())
        try:
            yield
        finally:
            async with Redis.from_url(self._url) as redis:
                await redis.echo("the end")
            async with asyncio.timeout(10):
                while b"the end" not in self.said:
                    await asyncio.sleep(0.01)
            task.cancel()
            writer.close()
            with suppress(asyncio.CancelledError):
                await task

    async def everything(self) -> bytes:
        """What was said, what lies under every key, and the append-only file."""
        held = bytearray()
        async with Redis.from_url(self._url) as redis:
            for key in await redis.keys("*"):
                held += repr((key, await _value(redis, key))).encode()
        files = [path.read_bytes() for path in self._folder.rglob("*") if path.is_file()]
        assert any(b"XADD" in content for content in files), "there is no append-only file to look into"
        return bytes(self.said) + bytes(held) + b"".join(files)


@pytest.fixture
async def deployment(valkey_stores: Stores) -> AsyncIterator[Deployment]:
    """The services, each with its own rights in that Valkey."""
    async with deployed(valkey_stores, Participants, users=TEMPLATE, **VARIABLES) as deployment:
        yield deployment


async def played(deployment: Deployment, folder: Path, flows: Any) -> tuple[dict[str, str], list[str]]:
    """The secrets that participants held in the flows, and which of them Redis came to know."""
    watched = Watched(deployment.stores, folder)
    async with watched.watching():
        await flows
        await asyncio.sleep(1.2)  # attempts and last uses are written within a second
    participants = deployment.participants
    assert isinstance(participants, Participants)
    secrets = participants.secrets()
    return secrets, found_in(await watched.everything(), secrets)


async def test_no_secret_of_anybody_reaches_redis(deployment: Deployment, tmp_path: Path) -> None:
    """Whatever crosses HTTP counts as a secret unless its name is known to be public."""
    secrets, found = await played(deployment, tmp_path, play_every_flow(deployment.site))
    names = set(secrets.values())
    assert names >= SEEN, names
    assert {VERIFIER, IDEMPOTENCY_KEY, MISPLACED} <= secrets.keys()
    assert DEVICE_CODE.rpartition(":")[2] not in secrets
    assert found == []
    assert await deployment.denied() == []


def _as_they_are(_secrets: Sequence[bytes], _flow: Flow, pairs: Any) -> Any:
    return tuple(pairs)


async def _device(site: Site) -> None:
    person = await sign_up_on_the_page(site)
    await play_declined_device(site, person, await person.create_client())


async def _pushed(site: Site) -> None:
    person = await sign_up_on_the_page(site)
    await play_pushed_request(site, person, await person.create_client())


def _with_secret(key: WebhookKey) -> WebhookKeyView:
    return WebhookKeyView(version=1, public_key=key.secret, secret_digest=digest_of(key.secret), ends_on=None)


async def _webhooks(site: Site) -> None:
    author = await site.sign_up()
    client = await author.create_client()
    await open_page(author, f"/developer/clients/{client.client_id}/webhooks?show=secrets")


async def _public(site: Site) -> None:
    person = await sign_up_on_the_page(site)
    await play_public_client(site, person, person)


@pytest.mark.parametrize(
    ("module", "name", "planted", "flow", "caught"),
    [
        (authorization_query, "without_secrets", _as_they_are, _device, {"user_code"}),
        (authorization_query, "without_secrets", _as_they_are, _pushed, {"request_uri"}),
        (authorization_query, "without_secrets", _as_they_are, _public, {"client_secret", "code_verifier"}),
        (consent_request, "peer_digest", lambda _key, peer: peer, _public, {"peer"}),
        (exchange, "peer_digest", lambda _key, peer: peer, _public, {"peer"}),
        (webhook_commands, "_key_view", _with_secret, _webhooks, {"shown on a page"}),
    ],
    ids=[
        "user code",
        "pushed request",
        "misplaced secret",
        "peer of a page",
        "peer of an exchange",
        "secret of webhooks",
    ],
)
async def test_what_is_planted_is_found(
    deployment: Deployment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    planted: Any,
    flow: Any,
    caught: set[str],
) -> None:
    """Most of these stood in Redis once; the others must not begin to."""
    monkeypatch.setattr(module, name, planted)
    _, found = await played(deployment, tmp_path, flow(deployment.site))
    assert {line.partition(":")[0] for line in found} == caught


async def _answers(url: str) -> bool:
    async with Redis.from_url(url) as redis:
        with suppress(Exception):
            return bool(await redis.ping())
    return False


async def _value(redis: Redis, key: bytes | str) -> Any:
    """Whatever is kept there; nothing where its time was over since it was listed."""
    kind = await redis.type(key)
    whole: dict[bytes, Any] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"stream": redis.xrange,
    }
    ranges: dict[bytes, Any] = {b"list": redis.lrange, b"zset": redis.zrange}
    if kind in ranges:
        return await ranges[kind](key, 0, -1)
    if kind in whole:
        return await whole[kind](key)
    assert kind == b"none", f"{key!r} is a {kind!r}, which nobody looks into"
    return None
