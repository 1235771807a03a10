"""Who hears of revocations from the deployment: a program by webhook, and a resource server by the stream through the proxy."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpx
import pytest

from latchkey_sdk import Guard, Refused
from tests.containers.deployment import AUTHORITY_HOST, IMAGES, SCALED, Deployment, run
from tests.harness.site import Client, Site

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]

SHIPPED_CUT: Final = "write 60s"
"""After so long the Caddyfile ends whatever answer is still being written."""
CUT_SECONDS: Final = 5
"""The same where a cut is to be seen, and not a minute; longer than a listener is believed that hears nothing."""
TRUST_SECONDS: Final = 3.0
"""Within so long a listener whose stream was cut is to be believed again."""
STOP_SECONDS: Final = 25.0
RECEIVER: Final = """
import http.server, ssl
class Program(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(self.headers["webhook-id"] + " " + body, flush=True)
        self.send_response(204)
        self.end_headers()
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("", 443), Program)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/authority.pem", "/tls/authority.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
LISTENERS: Final = 24
"""Some of them at each of three replicas."""


@pytest.fixture(scope="module")
def receiver(deployment: Deployment) -> Iterator[str]:
    """A program of the operator's own network, behind an authority that the deployment was given; its container."""
    deployment.take(SCALED)
    name = f"{deployment.project}-receiver"
    image = deployment.environ.get("PYTHON_IMAGE", IMAGES["PYTHON_IMAGE"].partition("/")[2])
    words = ("docker", "run", "--detach", "--rm", "--network", f"{deployment.project}_web", "--name", name)
    known = ("--network-alias", AUTHORITY_HOST, "-v", f"{deployment.folder / 'tls'}:/tls:ro")
    run(*words, *known, image, "python3", "-c", RECEIVER)
    try:
        yield name
    finally:
        run("docker", "rm", "--force", name)


@pytest.fixture
def cutting(deployment: Deployment) -> Iterator[None]:
    """The proxy ends streams sooner than it does as it is shipped."""
    file = deployment.folder / "deploy" / "Caddyfile"
    (proxy,) = deployment.containers("proxy")
    shipped = file.read_text(encoding="utf-8")
    assert SHIPPED_CUT in shipped

    def use(caddyfile: str) -> None:
        file.write_text(caddyfile, encoding="utf-8")  # the same file, which is mounted there
        deployment.inside(proxy, "caddy", "reload", "--config", "/etc/caddy/Caddyfile")

    use(shipped.replace(SHIPPED_CUT, f"write {CUT_SECONDS}s"))
    try:
        yield
    finally:
        use(shipped)


@pytest.fixture(scope="module")
def service_key(deployment: Deployment) -> str:
    """Of a resource server."""
    words = ("service-key", "create", "--name", "my-api", "--permission", "introspect")
    return deployment.operator(*words).strip()


@pytest.fixture
async def guard(deployment: Deployment, receiver: str, service_key: str) -> AsyncIterator[Guard]:
    """A resource server with the Python SDK, which hears through the proxy."""
    assert receiver
    async with Guard(deployment.url, service_key) as guard:
        await _alive(guard)
        yield guard


async def _alive(guard: Guard, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not guard.stream_alive:
            await asyncio.sleep(0.02)


def _heard(receiver: str) -> list[tuple[str, dict[str, Any]]]:
    lines = run("docker", "logs", receiver).splitlines()
    return [(line.partition(" ")[0], json.loads(line.partition(" ")[2])) for line in lines]


def _told(receiver: str, key_id: str) -> list[tuple[str, dict[str, Any]]]:
    return [each for each in _heard(receiver) if each[1]["data"]["keyID"] == key_id]


async def _refused(guard: Guard, key: str) -> int:
    """The status with which it is refused, within the bound of every verifier."""
    async with asyncio.timeout(5):
        while True:
            try:
                await guard.check(key, "customise_score")
            except Refused as refused:
                return refused.status
            await asyncio.sleep(0.01)


async def _key(site: Site) -> tuple[Any, dict[str, Any], Client]:
    person = await site.sign_up()
    client = await person.create_client(webhookUri="https://receiver/hook")
    return person, await person.give_key(client), client


async def test_a_revoked_key_is_told_to_its_program_and_refused_by_a_resource_server(
    deployment: Deployment, deployed_site: Site, receiver: str, guard: Guard
) -> None:
    """Through the proxy, with several replicas of both: once each, and within seconds although the guard remembers keys."""
    for _ in range(4):
        person, key, client = await _key(deployed_site)
        assert (await guard.check(key["access_token"], "customise_score")).key_id == key["keyID"]
        began = time.time()
        assert (await person.http.delete(f"/api/v1/keys/{key['keyID']}")).status_code == 204
        assert await _refused(guard, key["access_token"]) == httpx.codes.UNAUTHORIZED
        words = (str(key["keyID"]),)
        await asyncio.to_thread(deployment.engine.wait_for_line, receiver, words, began, 20.0)
        ((_, event),) = _told(receiver, key["keyID"])
        assert event["type"] == "key.revoked"
        assert event["data"]["clientID"] == client.client_id


@asynccontextmanager
async def _listening(site: Site, service_key: str) -> AsyncIterator[httpx.Response]:
    """A stream of a resource server without an SDK, opened."""
    headers = {"Authorization": f"Bearer {service_key}"}
    async with site.http.stream("GET", "/api/v1/revocations", headers=headers) as answer:
        assert answer.status_code == httpx.codes.OK
        yield answer


async def _cut(site: Site, service_key: str) -> None:
    """Listens until the proxy ends the stream."""
    with suppress(httpx.RemoteProtocolError):  # so it ends: in the middle of an answer
        async with _listening(site, service_key) as answer:
            async for _ in answer.aiter_bytes():
                pass


@pytest.mark.usefixtures("cutting")
async def test_the_proxys_cut_costs_no_trust(deployed_site: Site, guard: Guard, service_key: str) -> None:
    """The proxy ends each stream after a while; the SDK comes back in time, and no check is refused or fails for it."""
    _, key, _ = await _key(deployed_site)
    silent, longest = 0.0, 0.0

    async def look() -> None:
        nonlocal silent, longest
        await guard.check(key["access_token"], "customise_score")
        now = time.monotonic()
        silent = 0.0 if guard.stream_alive else silent or now
        longest = max(longest, now - silent if silent else 0.0)
        await asyncio.sleep(0.02)

    async with asyncio.timeout(10 * CUT_SECONDS), asyncio.TaskGroup() as group:
        for _ in range(2):  # the guard's stream began before the first of these, and is cut in each
            cut = group.create_task(_cut(deployed_site, service_key))
            while not cut.done():
                await look()
        while not guard.stream_alive:
            await look()
    assert longest < TRUST_SECONDS


async def test_a_key_issuer_with_open_streams_stops_at_once(
    deployment: Deployment, deployed_site: Site, guard: Guard, service_key: str
) -> None:
    """Listeners are sent to the other replicas; nothing has to be killed, and checks go on."""
    _, key, _ = await _key(deployed_site)
    first, *others = deployment.containers("key_issuer")
    assert others
    heard: Counter[str] = Counter()

    async def listen(opened: asyncio.Event) -> None:
        async with _listening(deployed_site, service_key) as answer:
            opened.set()
            async for line in answer.aiter_lines():
                heard[line] += 1

    listeners = []
    async with asyncio.timeout(40):
        # One after the other: who asks at once is led to one replica by one look-up.
        for _ in range(LISTENERS):
            opened = asyncio.Event()
            listeners.append(asyncio.create_task(listen(opened)))
            await opened.wait()
        while heard["event: reset"] < len(listeners):
            await asyncio.sleep(0.05)
    took = time.monotonic()
    await asyncio.to_thread(run, "docker", "stop", "-t", "35", first)
    assert time.monotonic() - took < STOP_SECONDS
    assert deployment.inspect(first, "{{.State.ExitCode}}") == "0"
    assert any(task.done() for task in listeners), "none of them was there"
    await _alive(guard)
    await guard.check(key["access_token"], "customise_score")
    for task in listeners:
        task.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    await asyncio.to_thread(run, "docker", "start", first)
    await asyncio.to_thread(deployment.wait_until_ready)
    assert {first, *others} == set(deployment.containers("key_issuer"))


def test_doctor_is_content(deployment: Deployment, receiver: str) -> None:
    """Also with an authority of the operator's own, and with webhooks on their way."""
    assert receiver
    report = json.loads(deployment.operator("doctor", "--json"))
    assert report["healthy"]
    found = {(one["area"], one["subject"]): one["verdict"] for one in report["findings"]}
    assert found["outgoing requests", "webhooks"] == "ok"
