"""What a program may rely on whose answer is lost, or comes from a process that dies: real processes, HTTP, the real stores."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from redis.asyncio import Redis

from tests.harness.site import Person
from tests.harness.stores import Servers
from tests.integration.oauth.living import Live, Start, living

PENDING_SECONDS: Final = 1
"""After so long, versions before this one ended a key whose delivery nobody had confirmed; nothing reads it any more."""
UNUSED_SECONDS: Final = 5.0
"""Longer than such a version took to do so."""


@pytest.fixture
def start(servers: Servers, run_directory: Path) -> Start:
    """Starts services of a test's own."""
    return partial(living, servers, run_directory)


# A key lives from its 200 on


@pytest.mark.parametrize("way", ["killed", "stopped while Redis is away"])
async def test_a_key_lives_whatever_happens_to_the_process_that_answered(start: Start, way: str) -> None:
    """The first thing after the 200 is the end of auth_api; the key is first used long after, and accepted."""
    async with start(PENDING_KEY_SECONDS=str(PENDING_SECONDS)) as (live, line):
        person, client = await live.consented()
        code = await person.create_code(client)
        form = {"grant_type": "authorization_code", "code": code}
        process = live.processes["auth-api"].process
        async with live.site.http.stream(
            "POST", "/api/v1/oauth/token", data=form, auth=client.basic
        ) as answer:
            if way == "killed":
                process.kill()
            else:
                line.cut()
                process.send_signal(signal.SIGTERM)
            assert answer.status_code == 200
            key = json.loads(await answer.aread())
        await _while_unused(live, person)
        assert (await live.site.verify(key["access_token"])).status_code == 200
        await asyncio.to_thread(process.wait, 30)


async def _while_unused(live: Live, person: Person) -> None:
    """Time passes, and the key stays as it is."""
    clock = asyncio.get_running_loop().time
    over = clock() + UNUSED_SECONDS
    while clock() < over:
        assert await live.statuses(person) == ["active"]
        await asyncio.sleep(0.1)


# 503 means that the code can be redeemed again


@pytest.mark.parametrize("late_seconds", [0.0, 3.0], ids=["while its time runs", "after its time"])
async def test_a_redeem_that_arrives_after_it_was_given_up_spends_nothing(
    start: Start, late_seconds: float
) -> None:
    """The command hangs on the old connection, the release overtakes it on a new one; then the command arrives."""
    async with start(CODE_TTL_SECONDS="300") as (live, line):
        person, client = await live.consented()
        await person.give_key(client)  # so that all connections are open
        code = await person.create_code(client)
        line.hold()
        given_up = await live.site.exchange(client, code)
        assert given_up.status_code == 503, given_up.text
        await asyncio.sleep(late_seconds)
        line.let_go()
        await _arrived(live)
        answer = await _answered(partial(live.site.exchange, client, code))
        assert answer.status_code == 200, answer.text
        assert (await live.site.verify(answer.json()["access_token"])).status_code == 200
        assert (await live.statuses(person)).count("active") == 2


async def _arrived(live: Live) -> None:
    """What was let go has reached Redis, which carries out one command after the other."""
    async with Redis.from_url(live.stores.redis_url) as redis:
        for _ in range(20):
            await redis.ping()
            await asyncio.sleep(0.01)


async def _answered(ask: Callable[[], Any], seconds: float = 20.0) -> httpx.Response:
    """The first answer that is no 503, as a program gets it that tries again."""
    async with asyncio.timeout(seconds):
        while True:
            answer: httpx.Response = await ask()
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.1)


# Rotation strands nobody


@pytest.mark.parametrize("header", [{"Idempotency-Key": "rotate-1"}, {}], ids=["with the header", "without"])
async def test_a_rotation_whose_answer_was_lost_is_answered_again(
    start: Start, header: dict[str, str]
) -> None:
    """The new key is committed, its answer comes too late: 503; the retry gives a key that works, and one lives."""
    slow = {
        "LATCHKEY_TESTING": "1",
        "LATCHKEY_FAILPOINTS": "key_issuer.rotate.committed=pause:6@1",
    }
    async with start(environs={"key-issuer": slow}) as (live, _):
        person = await live.site.sign_up()
        old = await person.create_key("mine", ["customise_score"])
        path = f"/api/v1/keys/{old['keyID']}/rotate"
        rotate = partial(person.http.post, path, json={"overlapSeconds": 0}, headers=header)
        assert (await rotate()).status_code == 503
        answer = await _answered(rotate)
        assert answer.status_code == 200, answer.text
        assert (await live.site.verify(answer.json()["token"])).status_code == 200
        assert (await live.statuses(person)).count("active") == 1
