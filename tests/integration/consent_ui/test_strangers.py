"""What people who are not signed in make the server keep: nothing, however long their links are (traps: anonymous memory)."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from tests.harness.site import Client, Site
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
    stack: Stack, site: Site, client: Client, path: str, length: int, status: int
) -> None:
    """Where they go on lies in the browser, signed; the answers of auth_api are cleared away as they are read."""
    visitor = await site.visitor()
    link = path.format(client=client.client_id) + "A" * length
    async with Redis.from_url(stack.stores.redis_url) as redis:
        before = await kept(redis)
        answers = await asyncio.gather(*(visitor.http.get(link) for _ in range(TIMES)))
        assert {answer.status_code for answer in answers} == {status}
        assert await kept(redis) - before < MOST_BYTES
