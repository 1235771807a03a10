"""The processes of the kill matrix, and what must come of one code whatever was done to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.chaos.scene import (
    Consented,
    Scene,
    eventually,
    playing,
)
from tests.harness.backends import new_folder

PAUSES: Final = "key_issuer.issue.committed=pause:0.5"
SERVICES: Final = ("auth-api-1", "auth-api-2", "key-issuer-1", "consent-ui-1")


@pytest.fixture(scope="module")
async def shared_scene(run_directory: Path) -> AsyncIterator[Scene]:
    """The processes of a module; whatever was done to them, in the end nothing waits anywhere."""
    async with playing(new_folder(run_directory), *SERVICES, THROTTLE="off", CODE_TTL_SECONDS="600") as scene:
        await scene.linger_before_commit()
        scene.cluster.failpoints["key-issuer-1"] = PAUSES
        respawn_issuer(scene)
        await scene.cluster.ready("key-issuer-1")
        yield scene
        await scene.settled()


@pytest.fixture
async def scene(shared_scene: Scene) -> Scene:
    """All of it well again after the test before."""
    shared_scene.cluster.mend()
    await shared_scene.cluster.all_ready()
    return shared_scene


def respawn_issuer(scene: Scene) -> None:
    """Kill -9 and a new process."""
    scene.cluster.kill("key-issuer-1")
    scene.cluster.spawn_service("key-issuer-1")


async def one_key_in_the_end(scene: Scene, given: Consented, first: httpx.Response | None) -> None:
    """Whatever the first try came to, the client ends up with one live key, or with a dead code and none."""
    answer = first
    if answer is None or answer.status_code == 503:
        answer = await eventually(lambda: scene.exchange(scene.two, given))
    live = await scene.live_keys(given.person)
    if answer.status_code == 200:
        assert live == [answer.json()["keyID"]]
        token = answer.json()["access_token"]
        assert (await eventually(lambda: scene.two.verify(token))).status_code == 200
    else:
        assert answer.json()["error"] == "invalid_grant", answer.text
        assert live == []
