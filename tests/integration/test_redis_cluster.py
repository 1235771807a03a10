"""Everything on a server in cluster mode, which refuses a script or transaction whose keys lie in different slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from deploy.embedded.account import programs_for
from deploy.embedded.ports import free_port
from shared.bus import CoalescingRedis
from shared.errors import StoreUnavailable
from tests.harness.site import Person
from tests.harness.stack import Stack, serving_stack
from tests.harness.stores import Servers, Stores, fresh_database
from tests.integration.consent_ui.visits import form_with, open_consent, press, query_of

SLOTS: Final = 16384
GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture(scope="module")
async def clustered(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The services on a cluster of one node that has every slot: it serves all keys, and still checks each command's."""
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port()
    server = await _start(folder, port)
    try:
        redis = CoalescingRedis(f"redis://127.0.0.1:{port}", client_name="tests")
        async with asyncio.timeout(15):
            while not await _is_whole(redis):
                await asyncio.sleep(0.05)
        await redis.close()
        async with (
            fresh_database(servers) as database_url,
            serving_stack(Stores(database_url, f"redis://127.0.0.1:{port}/0"), {"THROTTLE": "on"}) as stack,
        ):
            yield stack
    finally:
        server.kill()
        await server.wait()


async def _start(folder: Path, port: int) -> asyncio.subprocess.Process:
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
    return await asyncio.create_subprocess_exec(
        str(programs_for(None).valkey),
        *(*options, "--save", "", "--cluster-enabled", "yes", "--cluster-port", str(free_port())),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _is_whole(redis: CoalescingRedis) -> bool:
    with suppress(StoreUnavailable):
        info = await redis.execute("CLUSTER", "INFO")
        if b"cluster_state:ok" in info:
            return True
        if b"cluster_slots_assigned:0\r" in info:
            await redis.execute("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
    return False


async def test_every_flow_works_in_cluster_mode(clustered: Stack) -> None:
    """Consent, exchange, replay, device, pushed requests, throttling, revocation: no command crosses slots."""
    site = clustered.site
    person = await site.sign_up()
    client = await person.create_client()
    accepted = await press(person, await open_consent(person, client), "Accept")
    code = query_of(accepted.headers["Location"])["code"]
    key = (await site.exchange(client, code)).json()
    assert (await site.verify(key["access_token"])).status_code == 200
    retry = {"grant_type": "authorization_code", "code": await person.create_code(client)}
    for _ in range(2):
        answer = await site.http.post(
            "/api/v1/oauth/token", data=retry, auth=client.basic, headers={"Idempotency-Key": "once"}
        )
        assert answer.status_code == 200, answer.text
    assert (await site.exchange(client, code)).json()["error"] == "invalid_grant"
    assert (await site.verify(key["access_token"])).status_code == 401
    pushed = await site.http.post("/api/v1/oauth/par", data={"response_type": "code"}, auth=client.basic)
    assert pushed.status_code == 201, pushed.text
    query = {"client_id": client.client_id, "request_uri": pushed.json()["request_uri"]}
    page = await person.http.get("/oauth/authorize", params=query)
    assert page.status_code == 200
    assert "error=access_denied" in (await press(person, page, "Decline")).headers["Location"]
    assert (await person.sign_in(person.username, "a wrong password")).status_code == 401
    assert (await site.token(client, grant_type="authorization_code", code="wrong")).status_code == 400
    await _device(clustered, person)
    assert (await person.http.delete(f"/api/v1/apps/{client.client_id}")).status_code == 204
    assert (await person.http.delete(f"/api/v1/clients/{client.client_id}")).status_code == 204


async def test_in_a_full_cluster_everything_is_taken_back(clustered: Stack) -> None:
    """What passes a full node is one command with one key, so it crosses no slots either."""
    person = await clustered.site.sign_up()
    client = await person.create_client()
    given, own = await person.give_key(client), await person.create_key("Mine", ["submit_score"])
    redis = CoalescingRedis(clustered.stores.redis_url)
    try:
        await redis.execute("CONFIG", "SET", "maxmemory", 1)
        assert (await person.http.delete(f"/api/v1/keys/{own['keyID']}")).status_code == 204
        assert (await person.http.delete(f"/api/v1/apps/{client.client_id}")).status_code == 204
        for token in (own["token"], given["access_token"]):
            assert (await clustered.site.verify(token)).status_code == 401
    finally:
        await redis.execute("CONFIG", "SET", "maxmemory", 0)
        await redis.close()


async def _device(stack: Stack, person: Person) -> None:
    client = await person.create_client()
    started = (
        await stack.site.http.post("/api/v1/oauth/device_authorization", data={"client_id": client.client_id})
    ).json()
    form = {"grant_type": GRANT, "device_code": started["device_code"]}
    assert (await stack.site.token(client, **form)).json()["error"] == "authorization_pending"
    page = await person.http.get("/device", params={"user_code": started["user_code"]})
    while "Accept" not in page.text:
        _, fields = form_with(page, "Continue")
        assert "user_code" in fields
        page = await press(person, page, "Continue")
        if page.is_redirect:
            page = await person.http.get(page.headers["Location"])
    await press(person, page, "Accept")
    answer = await stack.site.token(client, **form)
    assert answer.status_code == 200, answer.text
