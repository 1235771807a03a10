"""How long a key that was taken back is still accepted: measured at two verifiers that remember it."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.scene import Scene, playing, until
from tests.harness.backends import new_folder
from tests.harness.site import Person

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(400)]

SERVICES: Final = ("auth-api-1", "key-issuer-1", "key-issuer-2", "consent-ui-1")
REVOKES: Final = 200
BOUND_SECONDS: Final = 5.0
"""With Redis away; the target is 500 ms otherwise, which a busy machine may miss, so it is printed and not asserted."""


async def test_a_key_taken_back_is_refused_everywhere(run_directory: Path) -> None:
    """Two hundred revocations one after the other, and ten that no verifier can hear of."""
    async with playing(new_folder(run_directory), *SERVICES, THROTTLE="off") as scene:
        person = await scene.one.sign_up()
        seconds = [await _revoke(scene, person) for _ in range(REVOKES)]
        _report("revoke to refused at two verifiers", seconds)
        unheard = await _unheard(scene, person)
        _report("the same with Redis paused", unheard)
        await scene.cluster.all_ready()
        await scene.settled()


async def _key(scene: Scene, person: Person) -> tuple[str, str]:
    """Id and token of a new key that both verifiers remember."""
    key = await person.create_key("measured", ["customise_score"])
    await _remember(scene, key["token"])
    return key["keyID"], key["token"]


async def _remember(scene: Scene, token: str) -> None:
    for site in (scene.one, scene.two):
        assert (await site.verify(token)).status_code == 200


async def _refused_everywhere(scene: Scene, token: str) -> None:
    async def at(site: object) -> None:
        async def is_refused() -> bool:
            status = (await site.verify(token)).status_code  # type: ignore[attr-defined]
            assert status in (200, 401)
            return bool(status == 401)

        await until(is_refused, BOUND_SECONDS)

    await asyncio.gather(at(scene.one), at(scene.two))


async def _revoke(scene: Scene, person: Person) -> float:
    key_id, token = await _key(scene, person)
    began = time.monotonic()
    answer = await person.http.delete(f"/api/v1/keys/{key_id}")
    assert answer.status_code == 204, answer.text
    await _refused_everywhere(scene, token)
    return time.monotonic() - began


async def _unheard(scene: Scene, person: Person) -> list[float]:
    """Redis stops right after the revocations are written down, so that nobody is told."""
    keys = [await _key(scene, person) for _ in range(9)]
    for _, token in keys:
        await _remember(scene, token)
    pids = scene.cluster.stall("valkey")
    try:
        began = time.monotonic()
        await scene.sql(
            "UPDATE keys.api_keys SET status = 'revoked', ended_on = 1, end_reason = 'owner', epoch = epoch + 1"
            " WHERE key_id = ANY($1)",
            [key_id for key_id, _ in keys],
        )

        async def dies(token: str) -> float:
            await _refused_everywhere(scene, token)
            return time.monotonic() - began

        return list(await asyncio.gather(*(dies(token) for _, token in keys)))
    finally:
        scene.cluster.go_on(pids)


def _report(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    sys.stderr.write(
        f"{what}: n={len(ordered)} p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, max {ordered[-1] * 1000:.0f} ms\n"
    )
    assert ordered[-1] < BOUND_SECONDS
