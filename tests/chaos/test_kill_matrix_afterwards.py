"""The kill matrix once a key lives: parts die while it is revoked, restart under load, and take no writes."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.conftest import one_key_in_the_end
from tests.chaos.scene import (
    Consented,
    Scene,
    attempt,
    eventually,
    is_unavailable,
    timed,
    until,
)
from tests.harness.site import bearer

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(400)]


async def test_s9_auth_api_dies_during_a_revocation(scene: Scene) -> None:
    """The retry is answered as if it were the first; the key is dead and told of once."""
    given = await scene.consented()
    key = (await scene.exchange(scene.one, given)).json()
    pids = scene.cluster.stall("key-issuer-1")
    path = f"/api/v1/keys/{key['keyID']}"
    revoking = asyncio.create_task(attempt(given.person.http.delete(path)))
    await until(scene.has_backlog)
    scene.cluster.kill("auth-api-1")
    assert await revoking is None
    scene.cluster.go_on(pids)
    scene.cluster.spawn_service("auth-api-1")
    assert (await eventually(lambda: given.person.http.delete(path))).status_code == 204
    refused = await eventually(
        lambda: scene.one.http.get("/api/v1/verify", headers=bearer(key["access_token"]))
    )
    assert refused.status_code == 401
    audited = await scene.sql("SELECT FROM keys.audit WHERE key_id = $1 AND event = 'revoked'", key["keyID"])
    assert len(audited) == 1


async def test_s9_postgres_dies_during_a_revocation(scene: Scene) -> None:
    """Never 204 for what was not written down; a 204 is never undone by the crash."""
    given = await scene.consented()
    key = (await scene.exchange(scene.one, given)).json()
    path = f"/api/v1/keys/{key['keyID']}"
    revoking = asyncio.create_task(attempt(given.person.http.delete(path)))
    await asyncio.sleep(0)
    scene.cluster.kill("postgres")
    answer = await revoking
    assert answer is not None
    assert answer.status_code in (204, 503), answer.text
    if answer.status_code == 503:
        answer = await eventually(lambda: given.person.http.delete(path))
        assert answer.status_code == 204
    refused = await eventually(lambda: scene.two.verify(key["access_token"]))
    assert refused.status_code == 401


async def test_s11_a_restart_under_load_loses_nobody(scene: Scene) -> None:
    """SIGTERM to auth_api and to key_issuer with twenty exchanges under way: what was begun is answered."""
    everybody = [await scene.consented() for _ in range(3)]
    codes = [
        Consented(each.person, each.client, await each.person.create_code(each.client))
        for each in everybody
        for _ in range(6)
    ]
    pids = scene.cluster.stall("key-issuer-1")
    exchanges = [asyncio.create_task(attempt(scene.exchange(scene.one, each))) for each in codes]
    await until(lambda: scene.has_backlog(len(codes)))
    scene.cluster.go_on(pids)
    scene.cluster.terminate("auth-api-1")
    scene.cluster.terminate("key-issuer-1")
    answers = await asyncio.gather(*exchanges)
    assert [answer for answer in answers if answer is None] == []
    assert {answer.status_code for answer in answers if answer is not None} <= {200, 503}
    assert 200 in {answer.status_code for answer in answers if answer is not None}
    for name in ("auth-api-1", "key-issuer-1"):
        await until(lambda name=name: _has_ended(scene, name))  # type: ignore[misc]
    scene.cluster.spawn_service("auth-api-1")
    scene.cluster.spawn_service("key-issuer-1")
    for given, answer in zip(codes, answers, strict=True):
        if answer is not None and answer.status_code == 503:
            retried = await eventually(lambda given=given: scene.exchange(scene.two, given))  # type: ignore[misc]
            assert retried.status_code == 200, retried.text


async def _has_ended(scene: Scene, name: str) -> bool:
    return scene.cluster.has_ended(name)


async def test_s11_stores_that_take_no_writes(scene: Scene) -> None:
    """A full Redis, a read-only PostgreSQL: 503 in time, the code stays good, and all is well without a restart."""
    given = await scene.consented()
    async with scene.redis() as redis:
        await redis.config_set("maxmemory", "1")
        is_unavailable(*await timed(scene.exchange(scene.one, given)))
        await redis.config_set("maxmemory", "0")
    (database,) = await scene.sql("SELECT current_database() AS name")
    await _make_read_only(scene, database["name"], "on")
    is_unavailable(*await timed(scene.exchange(scene.one, given)))
    await _make_read_only(scene, database["name"], "off")
    await one_key_in_the_end(scene, given, None)


async def _make_read_only(scene: Scene, database: str, value: str) -> None:
    await scene.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = {value}")
    await scene.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = current_user AND pid <> pg_backend_pid() AND datname = current_database()"
    )
