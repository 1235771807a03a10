"""Everything on a Redis that fails over: what was promised before holds after."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.harness.site import Client, Site
from tests.harness.stack import serving_stack
from tests.harness.stores import Servers, Stores, fresh_database
from tests.integration.bus.sentinels import watched_redis

AGAIN_SECONDS = 60.0

pytestmark = pytest.mark.slow


async def test_promises_outlive_a_failover(servers: Servers, tmp_path: Path) -> None:
    """Keys work, a revoked one stays dead, a spent code gives nothing, an unspent one its key: by themselves."""
    async with (
        watched_redis(tmp_path) as watched,
        fresh_database(servers) as database_url,
        serving_stack(Stores(database_url, watched.url())) as stack,
    ):
        site = stack.site
        person = await site.sign_up()
        client = await person.create_client()
        spent = await person.create_code(client)
        kept = (await site.exchange(client, spent)).json()
        gone = (await site.exchange(client, await person.create_code(client))).json()
        await site.http.post("/api/v1/oauth/revoke", data={"token": gone["access_token"]}, auth=client.basic)
        await watched.safe()
        code = await person.create_code(client)
        await watched.first.redis.execute("WAIT", 1, 5000)
        watched.first.kill()
        issued = await _exchanged(site, client, code)
        assert issued.status_code == 200, issued.text
        assert (await site.verify(issued.json()["access_token"])).status_code == 200
        assert (await site.verify(kept["access_token"])).status_code == 200
        assert (await site.verify(gone["access_token"])).status_code == 401
        assert (await _exchanged(site, client, spent)).json()["error"] == "invalid_grant"
        assert (await site.verify(kept["access_token"])).status_code == 401, "a replay revokes"


async def _exchanged(site: Site, client: Client, code: str) -> httpx.Response:
    """The answer that is not 503: the code stays good meanwhile."""
    async with asyncio.timeout(AGAIN_SECONDS):
        while (answer := await site.exchange(client, code)).status_code == 503:
            await asyncio.sleep(0.2)
    return answer
