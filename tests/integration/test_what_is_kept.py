"""What anybody, with an account or without, can make Redis keep: nothing that grows with how often they try (A4)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pytest
from aiohttp import web

from services.auth_api import activity_log, rate_limit
from services.auth_api import routes as auth_api
from services.auth_api.accounts import service as accounts
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.rate_limit import Limit
from services.auth_api.sessions import service as sessions
from shared.bus import CoalescingRedis
from tests.conftest import StackStarter
from tests.harness.stack import Stack
from tests.integration.keeping import BUTTONS, READS, TRIES, make_stranger, routes, try_all

TIMES: Final = 3
MOST_EACH: Final = 4_096
"""Bytes of one value, or of one element of a list or stream."""
TRIMMED: Final[Mapping[str, int]] = {
    "lk:{replies.*}": 1_200_000,
    "lk:{revocations}": 200_000,
    "lk:{events.auth}": 200_000,
    "lk:{events.keys}": 200_000,
}
"""Streams that others trim, by what they may take: read replies after 256 KiB for each of four processes, revocations after
ten minutes, events that all have read beyond 10,000 (``Janitor``)."""
SLACK: Final = 1.25
"""As many things may differ a little in length."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The values of one kind, ``count`` with the elements of lists, streams and sets."""

    count: int
    total: int
    largest: int


async def kept(stack: Stack) -> dict[str, Kept]:
    """Everything in Redis, by what its name says that it is."""
    redis = CoalescingRedis(stack.stores.redis_url)
    found: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
    try:
        for name in await redis.execute("KEYS", "*"):
            size = await redis.execute("MEMORY", "USAGE", name, "SAMPLES", 0)
            if size is not None:
                count, parts = await elements(redis, name)
                found[kind_of(name.decode())].append((count, size, size // parts))
    finally:
        await redis.close()
    return {
        kind: Kept(
            sum(count for count, _, _ in values),
            sum(size for _, size, _ in values),
            max(each for _, _, each in values),
        )
        for kind, values in found.items()
    }


def kind_of(name: str) -> str:
    """A name without what differs from one value of its kind to the next."""
    name = re.sub(r"\{replies\.[^}]*\}", "{replies.*}", name)
    return re.sub(r"(?<=[:])([0-9a-zA-Z_-]{15,}|[0-9]+)(?=$|:)", "*", name)


async def elements(redis: CoalescingRedis, name: bytes) -> tuple[int, int]:
    """How many things a value holds, and how many of them are of a size of their own; one for what is one thing."""
    word = _LENGTHS.get(await redis.execute("TYPE", name))
    count = 1 if word is None else max(1, await redis.execute(word, name))
    return count, count if word in ("LLEN", "XLEN") else 1


_LENGTHS: Final = {b"list": "LLEN", b"stream": "XLEN", b"zset": "ZCARD", b"set": "SCARD"}


def grown(before: Mapping[str, Kept], after: Mapping[str, Kept]) -> list[str]:
    """What took more room after twice as many tries, or is large."""
    found = []
    for kind, now in after.items():
        then = before.get(kind, Kept(0, 0, 0))
        if kind in TRIMMED:
            if now.total > TRIMMED[kind]:
                found.append(f"{kind}: {now.total} bytes, and it is trimmed")
        elif now.count > then.count or now.total > then.total * SLACK:
            found.append(f"{kind}: {then.count} of {then.total} bytes became {now.count} of {now.total}")
        elif now.largest > MOST_EACH:
            found.append(f"{kind}: one of {now.largest} bytes")
    return found


@pytest.fixture
def small_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """All budgets are used up by the first few tries, and none of them fills again while a test runs."""
    for name, burst in (("KEPT_PEER", 6), ("KEPT_CLIENT", 6), ("KEPT_PERSON", 70), ("KEPT_PEOPLE", 70)):
        label = name.lower().replace("_", "-")
        monkeypatch.setattr(rate_limit, name, Limit(label, burst=burst, interval_ms=3_600_000))
    for name in ("SIGN_IN_ACCOUNT", "SIGN_IN_PEER"):
        monkeypatch.setattr(accounts, name, Limit(name.lower(), burst=3, interval_ms=3_600_000))
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 3)
    monkeypatch.setattr(activity_log, "MOST", 5)
    monkeypatch.setattr(activity_log, "FLUSH_SECONDS", 0.0)


LIMITS: Final = {"SIGN_UP_LIMIT": "4", "CLIENTS_PER_USER": "3"}


def test_every_route_that_takes_a_body_is_tried() -> None:
    """Whoever adds one says here what the largest thing is that gets past its checks."""
    forgotten = [route for route in routes() if route[0] not in READS and route not in TRIES]
    assert forgotten == []
    assert [route for route in TRIES if route not in routes()] == []


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("small_budgets")
async def test_nothing_grows_with_the_number_of_tries(start_stack: StackStarter) -> None:
    """Each route of each service, signed in and out, N times and N times more: beyond its budget nothing is kept."""
    async with start_stack(LIMITS) as stack:
        stranger = await make_stranger(stack)
        await try_all(stranger, TIMES)
        before = await kept(stack)
        await try_all(stranger, TIMES)
        after = await kept(stack)
        assert grown(before, after) == []
        assert (await stranger.http.get("/api/v1/session")).status_code == 200, "all was tried signed in"
        assert BUTTONS - stranger.pressed == set()
        statuses = {answer.status_code for answer in stranger.answers}
        assert statuses >= {200, 201, 400, 401, 404, 429}
        assert max(statuses) < 500
        assert {"lk:pending:*", "lk:pushed:*", "lk:session:*", "lk:{key_issuer:0}:code:*"} <= set(before)


@pytest.mark.usefixtures("small_budgets")
@pytest.mark.parametrize("size", [100, 6000])
async def test_a_route_that_keeps_something_is_noticed(
    start_stack: StackStarter, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Planted: one that keeps what it is given under a name of its own, and one that keeps large things in one place."""

    async def keep(request: web.Request) -> web.Response:
        redis = request.app[RESOURCES].bus.redis
        name = "one" if size > MOST_EACH else request.query["state"][:40]
        await redis.execute("SET", f"lk:planted:{name}", request.query_string[:size], "EX", 600)
        return web.Response()

    add_routes = auth_api.add_routes

    def add_planted(application: web.Application) -> None:
        add_routes(application)
        application.router.add_get("/api/v1/planted", keep)

    monkeypatch.setattr(auth_api, "add_routes", add_planted)
    async with start_stack(LIMITS) as stack:
        stranger = await make_stranger(stack)
        only = frozenset({"/api/v1/planted"})
        await try_all(stranger, TIMES, only)
        before = await kept(stack)
        await try_all(stranger, TIMES, only)
        (noticed,) = grown(before, await kept(stack))
        assert noticed.startswith("lk:planted:")
