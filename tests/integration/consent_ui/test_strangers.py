"""What people who are not signed in make the server keep: nothing, however long their links are (traps: anonymous memory)."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientSession, DummyCookieJar
from redis.asyncio import Redis
from yarl import URL

from tests.harness.site import Client
from tests.harness.stack import Stack

TIMES = 120
MOST_BYTES = 600_000
"""For 120 visits of 11 to 15 KB: what the bus has read and not yet cleared away, at most 256 KB and an answer."""


async def kept(redis: Redis) -> int:
    """Bytes of all values in the key space."""
    return sum([int(await redis.memory_usage(key, samples=0) or 0) for key in await redis.keys("*")])


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        ("/device?user_code=WDFB-XCQM&x=", 11_000, 303),
        ("/device?user_code=WDFB-XCQM&x=", 15_000, 400),
        ("/oauth/request-auth?clientID={client}&state=", 11_000, 303),
        ("/oauth/authorize?response_type=code&client_id={client}&state=", 15_000, 400),
        ("/oauth/authorize?response_type=code&client_id={client}&scope=unknown&state=", 15_000, 303),
        ("/oauth/authorize?client_id={client}&request_uri=", 15_000, 400),
        ("/oauth/authorize?client_id=", 15_000, 404),
        ("/client-file-flow/{client}?x=", 11_000, 303),
        ("/login?continue=", 15_000, 200),
    ],
)
async def test_a_stranger_leaves_nothing_behind(
    stack: Stack, client: Client, path: str, length: int, status: int
) -> None:
    """Where they go on lies in the browser, signed; the answers of auth_api are cleared away as they are read."""
    link = URL(stack.url + path.format(client=client.client_id) + "A" * length, encoded=True)

    async def visit(http: ClientSession) -> int:
        async with http.get(link, allow_redirects=False) as answer:
            await answer.read()
            return answer.status

    # Not httpx, which takes longer to look at so long a link, character by character, than the services need to answer it.
    async with (
        Redis.from_url(stack.stores.redis_url) as redis,
        ClientSession(cookie_jar=DummyCookieJar(), max_line_size=65_536, max_field_size=65_536) as http,
    ):
        before = await kept(redis)
        statuses = await asyncio.gather(*(visit(http) for _ in range(TIMES)))
        assert set(statuses) == {status}
        assert await kept(redis) - before < MOST_BYTES
