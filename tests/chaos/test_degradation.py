"""What still works while a part is away, seen from outside: answers in time that say so, and recovery without a hand."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.chaos.scene import (
    LONGEST_SECONDS,
    Consented,
    Scene,
    attempt,
    eventually,
    is_unavailable,
    playing,
    timed,
    until,
)
from tests.harness.backends import new_folder
from tests.harness.processes import LATCHKEY, clean_environ, command
from tests.harness.site import bearer

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(400)]

SERVICES: Final = ("auth-api-1", "key-issuer-1", "key-issuer-2", "consent-ui-1")
ISSUERS: Final = ("key-issuer-1", "key-issuer-2")
READY_AGAIN_SECONDS: Final = 10.0
A_MINUTE: Final = 60.0
OVERLOAD: Final = 5
IN_FLIGHT_NORMALLY: Final = 32


@pytest.fixture(scope="module")
async def shared_scene(run_directory: Path) -> AsyncIterator[Scene]:
    """The processes of this module."""
    async with playing(new_folder(run_directory), *SERVICES, THROTTLE="off", CODE_TTL_SECONDS="600") as scene:
        yield scene
        await scene.settled()


@pytest.fixture
async def scene(shared_scene: Scene) -> Scene:
    """All of it well again after the test before."""
    await shared_scene.cluster.all_ready()
    return shared_scene


@contextmanager
def paused(scene: Scene, *names: str) -> Iterator[None]:
    """SIGSTOP until the end of the block: connections stay, nothing answers."""
    pids = [pid for name in names for pid in scene.cluster.stall(name)]
    try:
        yield
    finally:
        scene.cluster.go_on(pids)


async def with_key(scene: Scene) -> tuple[Consented, str]:
    """Somebody with a key that both verifiers remember, and another code."""
    given = await scene.consented()
    answer = await scene.exchange(scene.one, given)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    for site in (scene.one, scene.two):
        assert (await site.verify(token)).status_code == 200
    return Consented(given.person, given.client, await given.person.create_code(given.client)), token


async def names_what_is_down(scene: Scene, service: str, store: str) -> None:
    """``/readyz`` says degraded, still with 200, and tells which dependency it is."""
    async with httpx.AsyncClient(base_url=scene.cluster.urls[service], trust_env=False) as http:

        async def is_told() -> bool:
            answer = await http.get("/readyz", timeout=10)
            report = answer.json()
            failing = [name for name, word in report["dependencies"].items() if word != "ok"]
            # A verifier that cannot read Redis does not hear revocations either.
            return (
                answer.status_code == 200
                and report["status"] == "degraded"
                and [name for name in failing if name != "revocations"] == [store]
            )

        await until(is_told, 8)


async def is_ready_again(scene: Scene) -> None:
    """Every service within ten seconds, by itself."""
    await scene.cluster.all_ready(READY_AGAIN_SECONDS)


def is_friendly(answer: httpx.Response) -> None:
    """A page for people, not an error for programs."""
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<h1" in answer.text
    assert "Traceback" not in answer.text


async def test_redis_paused(scene: Scene) -> None:
    """Keys are checked and introspected; exchanges, pages and cookies are 503 in time."""
    given, token = await with_key(scene)
    service = command(
        *("service-key", "create", "--name", "api", "--permission", "introspect"),
        environ=scene.cluster.environ,
    ).strip()
    with paused(scene, "valkey"):
        refused = [
            scene.exchange(scene.one, given),
            given.person.http.get("/api/v1/session"),
            given.person.http.post("/api/v1/oauth/create-code", json={"clientID": given.client.client_id}),
            given.person.http.get("/"),
            given.person.http.get(f"/oauth/request-auth?clientID={given.client.client_id}"),
        ]
        answers = await asyncio.gather(*(timed(each) for each in refused))
        for answer, seconds in answers:
            is_unavailable(answer, seconds)
        for answer, _ in answers[3:]:
            is_friendly(answer)
        for site in (scene.one, scene.two):
            checked, seconds = await timed(site.verify(token))
            assert checked.status_code == 200
            assert seconds < LONGEST_SECONDS
            told = await site.http.post(
                "/api/v1/oauth/introspect", data={"token": token}, headers=bearer(service)
            )
            assert told.json()["active"] is True
        await names_what_is_down(scene, "auth-api-1", "redis")
        code, report = await _bus_status(scene)
        assert code == 1
        assert report["error"]
        assert [outbox["schema"] for outbox in report["outboxes"]] == ["auth", "keys"]
    await is_ready_again(scene)
    assert (await eventually(lambda: scene.exchange(scene.one, given))).status_code == 200


async def test_redis_away_for_a_minute(scene: Scene) -> None:
    """All that time keys are checked and exchanges are 503; then the code is good and nothing waits anywhere."""
    given, token = await with_key(scene)
    began = time.monotonic()
    with paused(scene, "valkey"):
        while time.monotonic() - began < A_MINUTE:
            is_unavailable(*await timed(scene.exchange(scene.one, given)))
            assert [(await site.verify(token)).status_code for site in (scene.one, scene.two)] == [200, 200]
    await is_ready_again(scene)
    answer = await eventually(lambda: scene.exchange(scene.one, given))
    assert answer.status_code == 200, answer.text
    assert answer.json()["keyID"] in await scene.live_keys(given.person)
    await scene.settled()


async def _bus_status(scene: Scene) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(LATCHKEY, "bus", "status", "--json"),
        env=clean_environ(scene.cluster.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode is not None
    return process.returncode, json.loads(printed)


async def test_redis_killed(scene: Scene) -> None:
    """Nothing but 200 and 503 while it starts again; ready within ten seconds."""
    given, token = await with_key(scene)
    scene.cluster.kill("valkey")
    checked = await scene.one.verify(token)
    assert checked.status_code == 200
    answer, seconds = await timed(scene.exchange(scene.one, given))
    assert answer.status_code in (200, 503), answer.text
    assert seconds < LONGEST_SECONDS
    await is_ready_again(scene)


async def test_postgres_paused(scene: Scene) -> None:
    """Remembered keys are checked for up to five seconds; all else is 503 in time, never 401."""
    given, token = await with_key(scene)
    _, unknown = await with_key(scene)
    remembered = time.monotonic()
    async with _fresh_verifier(scene):
        assert (await scene.one.verify(token)).status_code == 200
        with paused(scene, "postgres"):
            outcomes = [
                scene.exchange(scene.one, given),
                given.person.http.get("/api/v1/session"),
                given.person.http.get("/api/v1/keys"),
                given.person.http.get("/"),
                scene.two.verify(unknown),
                scene.two.http.post(
                    "/api/v1/oauth/introspect", data={"token": unknown}, headers=bearer(unknown)
                ),
            ]
            checked = await scene.one.verify(token)
            assert checked.status_code == 200, time.monotonic() - remembered
            for answer, seconds in await asyncio.gather(*(timed(each) for each in outcomes)):
                is_unavailable(answer, seconds)
            await until(lambda: _is_503(scene, token), 7)
            await names_what_is_down(scene, "auth-api-1", "postgres")
    await is_ready_again(scene)
    assert (await eventually(lambda: scene.one.verify(token))).status_code == 200
    assert (await eventually(lambda: scene.exchange(scene.one, given))).status_code == 200


class _fresh_verifier:  # noqa: N801 - reads as the moment it is
    """The second verifier, restarted so that it remembers nothing."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def __aenter__(self) -> None:
        self._scene.cluster.kill("key-issuer-2")
        self._scene.cluster.spawn_service("key-issuer-2")
        await self._scene.cluster.ready("key-issuer-2")

    async def __aexit__(self, *_: object) -> None:
        return None


async def _is_503(scene: Scene, token: str) -> bool:
    status = (await scene.one.verify(token)).status_code
    assert status in (200, 503)
    return status == 503


async def test_postgres_killed(scene: Scene) -> None:
    """Nothing but 200 and 503; ready within ten seconds."""
    given, token = await with_key(scene)
    scene.cluster.kill("postgres")
    answers = await asyncio.gather(
        timed(scene.exchange(scene.one, given)),
        timed(scene.one.verify(token)),
        timed(scene.two.verify(token)),
    )
    for answer, seconds in answers:
        assert answer.status_code in (200, 503), answer.text
        assert seconds < LONGEST_SECONDS
    await is_ready_again(scene)
    assert (await eventually(lambda: scene.one.verify(token))).status_code == 200


async def test_no_key_issuer_is_left(scene: Scene) -> None:
    """Exchanges are 503 by the deadline and the code stays good; pages of others work; a new replica serves at once."""
    given = await scene.consented()
    for name in ISSUERS:
        scene.cluster.kill(name)
    is_unavailable(*await timed(scene.exchange(scene.one, given)))
    is_unavailable(*await timed(given.person.http.get("/api/v1/keys")))
    assert (
        await given.person.http.get(f"/oauth/request-auth?clientID={given.client.client_id}")
    ).status_code == 200
    for name in ISSUERS:
        scene.cluster.spawn_service(name)
    answer = await eventually(lambda: scene.exchange(scene.one, given))
    assert answer.status_code == 200, answer.text
    assert await scene.live_keys(given.person) == [answer.json()["keyID"]]


async def test_five_times_what_fits(scene: Scene) -> None:
    """Who is let in is answered within the deadline, the others hear 503 in time; afterwards all is as before."""
    people = [await scene.consented() for _ in range(4)]

    async def codes_of(given: Consented) -> list[Consented]:
        return [
            Consented(given.person, given.client, await given.person.create_code(given.client))
            for _ in range(OVERLOAD * IN_FLIGHT_NORMALLY // len(people))
        ]

    codes = [each for some in await asyncio.gather(*map(codes_of, people)) for each in some]
    with paused(scene, ISSUERS[0]):  # half of the capacity is gone as well
        answers = await asyncio.gather(*(attempt_timed(scene, each) for each in codes))
    seconds = sorted(seconds for _, seconds in answers)
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {200, 503}, sorted(set(statuses))
    p99 = seconds[int(len(seconds) * 0.99)]
    sys.stderr.write(
        f"overload: {statuses.count(200)} keys, {statuses.count(503)} refused, p99 {p99:.2f} s\n"
    )
    assert p99 < LONGEST_SECONDS + 1
    await is_ready_again(scene)
    calm = await scene.consented()
    assert (await eventually(lambda: scene.exchange(scene.one, calm))).status_code == 200


async def attempt_timed(scene: Scene, given: Consented) -> tuple[int, float]:
    """Status and seconds of an exchange; 0 for one that was lost."""
    began = time.monotonic()
    answer = await attempt(scene.exchange(scene.one, given))
    return (0 if answer is None else answer.status_code), time.monotonic() - began
