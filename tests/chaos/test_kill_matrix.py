"""The kill matrix: each part dies at each step of the flow, by name: at most one key a code, and what was answered lives.

What is proven elsewhere is not repeated: the bus alone in ``tests/integration/bus``, S5 and S6 inside one key_issuer in
``tests/integration/key_issuer``. Here every part is a process, and the client sees what clients see. PostgreSQL
sleeps between INSERT and COMMIT and key_issuer before its answer, so that each moment can be hit.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

import pytest

from shared.secret_tokens import digest_of
from tests.chaos.conftest import one_key_in_the_end, respawn_issuer
from tests.chaos.scene import (
    COMMANDS,
    Consented,
    Scene,
    attempt,
    eventually,
    is_unavailable,
    timed,
    until,
)
from tests.harness.site import Person
from tests.integration.consent_ui.visits import CONSENT_LINK, press, query_of

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(400)]

FILE_LINK: Final = "/client-file-flow/"


@pytest.mark.parametrize("victim", ["key-issuer-1", "postgres", "valkey"])
@pytest.mark.parametrize("step", ["S5 inserted, not committed", "S6 committed, not answered"])
async def test_s5_s6_killed_while_the_key_is_made(scene: Scene, step: str, victim: str) -> None:
    """503 or the key; the code stays good; the retry's key is the only one."""
    given = await scene.consented()
    exchange = asyncio.create_task(attempt(scene.exchange(scene.one, given)))
    if step.startswith("S5"):
        await until(scene.is_inserting)
    else:
        await until(lambda: scene.has_row(given.person))
    if victim == "key-issuer-1":
        respawn_issuer(scene)
    else:
        scene.cluster.kill(victim)
    first = await exchange
    assert first is not None
    assert first.status_code in (200, 503), first.text
    await one_key_in_the_end(scene, given, first)


async def test_s1_signing_in(scene: Scene) -> None:
    """A killed Redis costs at most the session; a killed page service only a retry."""
    person = await scene.one.sign_up()
    scene.cluster.kill("valkey")
    answer = await person.http.get("/")
    assert answer.status_code in (200, 503), answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    scene.cluster.kill("consent-ui-1")
    assert await attempt(person.http.get("/")) is None
    scene.cluster.spawn_service("consent-ui-1")
    assert (await eventually(lambda: person.http.get("/"))).status_code == 200
    again = await scene.one.visitor()
    assert (await eventually(lambda: again.sign_in(person.username))).status_code == 200
    assert (await eventually(lambda: again.http.get("/api/v1/session"))).status_code == 200


@pytest.mark.parametrize("victim", ["valkey", "postgres", "consent-ui-1"])
async def test_s2_accept_is_pressed(scene: Scene, victim: str) -> None:
    """A code that works or none, never half a grant; pressing again is safe."""
    person = await scene.one.sign_up()
    client = await person.create_client()
    page = await person.http.get(f"{CONSENT_LINK}{client.client_id}")
    assert page.status_code == 200
    pressing = asyncio.create_task(attempt(press(person, page, "Accept")))
    await asyncio.sleep(0)
    scene.cluster.kill(victim)
    if victim == "consent-ui-1":
        scene.cluster.spawn_service(victim)
    answer = await pressing
    if answer is None or answer.status_code == 503:
        answer = await eventually(lambda: press(person, page, "Accept"))
    if answer.status_code != 303 or "code" not in query_of(answer.headers["Location"]):
        # Redis has forgotten session or request: a page says so, and nothing is left of the consent.
        assert victim == "valkey"
        assert answer.status_code in (303, 400, 401, 403, 404, 410), answer.text
        assert await scene.live_keys(person) == []
        return
    given = Consented(person, client, query_of(answer.headers["Location"])["code"])
    await one_key_in_the_end(scene, given, await scene.exchange(scene.two, given))


async def test_s3_auth_api_dies_after_it_spent_the_code(scene: Scene) -> None:
    """Until its attempt is over the retry is refused and no key is left, then the code is good again.

    With an Idempotency-Key the retry gets the first one's answer.
    """
    plain, careful = await scene.consented(), await scene.consented()
    retry = {"Idempotency-Key": "try-it-safely"}
    await _dies_after_it_spent_the_code(scene, careful, **retry)
    answer = await eventually(lambda: scene.exchange(scene.two, careful, **retry))
    assert answer.status_code == 200, answer.text
    await _dies_after_it_spent_the_code(scene, plain)
    await one_key_in_the_end(scene, plain, None)
    assert await scene.live_keys(careful.person) == [answer.json()["keyID"]]


async def _dies_after_it_spent_the_code(scene: Scene, given: Consented, **headers: str) -> None:
    scene.cluster.kill("auth-api-1")
    scene.cluster.spawn_service("auth-api-1", failpoints="auth_api.exchange.redeemed=kill@1")
    await scene.cluster.ready("auth-api-1")
    assert await attempt(scene.exchange(scene.one, given, **headers)) is None
    scene.cluster.spawn_service("auth-api-1")


async def test_s3_a_code_that_redis_brings_back_to_life(scene: Scene) -> None:
    """Redis lost the second in which the code was spent: PostgreSQL knows, refuses, and ends the first key."""
    given = await scene.consented()
    name = f"lk:{{key_issuer:0}}:code:{digest_of(given.code)}"
    async with scene.redis() as redis:
        kept = await redis.dump(name)
        assert kept is not None
        answer = await scene.exchange(scene.one, given)
        assert answer.status_code == 200, answer.text
        await redis.restore(name, 60_000, kept, replace=True)
    second = await scene.exchange(scene.two, given)
    assert second.json()["error"] == "invalid_grant"
    assert await scene.live_keys(given.person) == []


async def test_s4_the_stream_is_lost_with_the_command(scene: Scene) -> None:
    """503 by the deadline, the code stays good, one key."""
    given = await scene.consented()
    pids = scene.cluster.stall("key-issuer-1")
    exchange = asyncio.create_task(timed(scene.exchange(scene.one, given)))
    await until(scene.has_backlog)
    async with scene.redis() as redis:
        await redis.delete(COMMANDS)
    is_unavailable(*await exchange)
    scene.cluster.go_on(pids)
    await one_key_in_the_end(scene, given, None)


async def test_s6_the_reply_is_lost(scene: Scene) -> None:
    """The key is made, nobody hears of it: 503, and the retry's key takes its place."""
    given = await scene.consented()
    issuer = scene.cluster.stall("key-issuer-1")
    exchange = asyncio.create_task(attempt(scene.exchange(scene.one, given)))
    await until(scene.has_backlog)
    requester = scene.cluster.stall("auth-api-1")  # it would make its stream again at once
    async with scene.redis() as redis:
        for stream in await redis.keys("lk:{replies.auth_api*"):
            await redis.delete(stream)
    scene.cluster.go_on(issuer)
    await until(lambda: scene.has_row(given.person))
    await until(scene.is_answered)
    scene.cluster.go_on(requester)
    answer = await exchange
    assert answer is not None
    assert answer.status_code == 503, answer.text
    await one_key_in_the_end(scene, given, None)


async def test_s4_s6_s7_s8_no_requester_is_left_to_take_the_key(scene: Scene) -> None:
    """The client hangs up, or auth_api dies before its answer: a new try gives the one key or one clean refusal.

    A key that no code leads back to is seen by its owner, as never used.
    """
    gone, file, orphan = await scene.consented(), await scene.consented(), await scene.consented()
    await _leaves(scene.exchange(scene.two, gone), scene, gone)
    body = {"clientID": file.client.client_id}
    making = asyncio.create_task(attempt(file.person.http.post("/api/v1/keys", json=body)))
    await until(lambda: scene.has_row(file.person))
    scene.cluster.kill("auth-api-1")
    exchange = asyncio.create_task(attempt(scene.exchange(scene.two, orphan)))
    await until(lambda: scene.has_row(orphan.person))
    scene.cluster.kill("auth-api-2")
    assert await making is None
    assert await exchange is None
    for name in ("auth-api-1", "auth-api-2"):
        scene.cluster.spawn_service(name)
    for given in (gone, orphan):
        await one_key_in_the_end(scene, given, None)
    made = await eventually(lambda: file.person.http.post("/api/v1/keys", json=body))
    assert made.status_code == 201, made.text
    listed = (await eventually(lambda: file.person.http.get("/api/v1/keys"))).json()
    assert listed[0]["keyID"] == made.json()["keyID"]
    assert {each["keyID"] for each in listed} >= set(await scene.live_keys(file.person))
    assert all(each["lastUsedOn"] is None for each in listed)


@pytest.mark.parametrize("victim", ["key-issuer-1", "postgres", "valkey"])
async def test_s8_killed_while_a_file_is_made(scene: Scene, victim: str) -> None:
    """The file or 503; then the same button or a new page gives the key, and in the end it is the only one."""
    person = await scene.one.sign_up()
    client = await person.create_client()
    page = await person.http.get(f"{FILE_LINK}{client.client_id}")
    pressing = asyncio.create_task(attempt(press(person, page, "Create key")))
    await until(scene.is_inserting)
    if victim == "key-issuer-1":
        respawn_issuer(scene)
    else:
        scene.cluster.kill(victim)
    answer = await pressing
    assert answer is not None
    assert answer.status_code in (200, 503), answer.text
    if answer.status_code == 503:
        await scene.cluster.all_ready()
        answer = await press(person, page, "Create key")
    if answer.status_code != 200:
        assert answer.status_code == 409, answer.text  # it counts as pressed, though nobody has the file
        answer = await press(person, await person.http.get(f"{FILE_LINK}{client.client_id}"), "Create key")
    assert answer.status_code == 200, answer.text
    (token,) = set(re.findall(r"lku_\w+", answer.text))
    await until(lambda: _is_the_only_one(scene, person, token))


async def _is_the_only_one(scene: Scene, person: Person, token: str) -> bool:
    assert (await eventually(lambda: scene.two.verify(token))).status_code == 200
    return await scene.live_keys(person) == [token.split("_")[2]]


async def _leaves(asking: object, scene: Scene, given: Consented) -> None:
    """The client hangs up while key_issuer has the key in hand."""
    task = asyncio.ensure_future(asking)  # type: ignore[call-overload]
    await until(lambda: scene.has_row(given.person))
    task.cancel()
    await asyncio.wait({task})
