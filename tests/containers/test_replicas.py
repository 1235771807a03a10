"""Several containers of each service: found at once, and one that is killed costs no key."""

from __future__ import annotations

import asyncio
import re
import time

import httpx
import pytest

from tests.containers.deployment import ONE_OF_EACH, OURS, SCALED, Deployment, wait_until
from tests.containers.engine import Container
from tests.harness.crowd import Burst, burst, crowd_at
from tests.harness.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]

FOUND_SECONDS = 8.0
ROUTES = {"auth_api": "/api/v1/session", "consent_ui": "/", "key_issuer": "/api/v1/verify"}
PEOPLE = 13
EACH = 4
"""So many keys everybody (but the first person) is given after each container was killed."""


def _requests(deployment: Deployment, container: Container) -> float:
    """How many requests on its service's route a container has answered."""
    answer = deployment.ask(container, "/metrics")
    if answer is None:
        return 0
    route = re.escape(ROUTES[container.service])
    samples = re.findall(
        rf'^latchkey_http_requests_total{{[^}}]*route="{route}"[^}}]*}} (\S+)$', answer.text, re.MULTILINE
    )
    return sum(map(float, samples))


async def test_scaled_replicas_are_used_within_seconds(deployment: Deployment, deployed_site: Site) -> None:
    """After `--scale` every replica gets requests within 8 s of being up, and no request fails meanwhile."""
    await asyncio.to_thread(deployment.take, ONE_OF_EACH)
    failed: list[str] = []
    stop = asyncio.Event()

    async def ask(path: str) -> None:
        while not stop.is_set():
            answer = await deployed_site.http.get(path)
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                failed.append(f"{path} {answer.status_code}")
            await asyncio.sleep(0.02)

    def every_replica_is_used() -> bool:
        found = [one for one in deployment.engine.containers(deployment.project) if one.service in OURS]
        return all(_requests(deployment, one) > 0 for one in found)

    tasks = [asyncio.create_task(ask(path)) for path in ROUTES.values()]
    try:
        await asyncio.to_thread(deployment.take, SCALED)
        await asyncio.to_thread(wait_until, every_replica_is_used, "requests at every replica", FOUND_SECONDS)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert failed == []
    assert {service: len(deployment.containers(service)) for service in OURS} == SCALED.replicas


async def test_a_container_killed_mid_burst_costs_no_key(deployment: Deployment) -> None:
    """With replicas, killing one of each service under load breaks at most what it held; every key handed out is good."""
    await asyncio.to_thread(deployment.take, SCALED)
    async with crowd_at(deployment.url, people=PEOPLE) as crowd:
        async with burst(crowd, checks=4) as found:
            await _exchanged(found, EACH)
            for service in ("key_issuer", "auth_api", "consent_ui"):
                deployment.engine.send(deployment.containers(service)[0], "KILL")
                await _exchanged(found, EACH)
        print(f"killed mid-burst: {dict(found.answers)}")  # noqa: T201 - the numbers of the run
        assert found.failures_of("check") == {}, found.answers
        # What the killed process had in hand: never sent twice, so the client learns that it failed.
        assert sum(found.failures.values()) <= 2 * 12, found.answers
        assert found.answers["exchange 200"] > 50
        await asyncio.to_thread(deployment.up)
        assert "quiet" in await asyncio.to_thread(_quiet_bus, deployment)
        dead = [key for key in found.recent_keys if (await crowd.verify(key))[0] != httpx.codes.OK]
        assert dead == []


async def _exchanged(found: Burst, each: int) -> None:
    """Waits until everybody of a burst was given so many more keys."""
    before = {person: len(keys) for person, keys in found.keys.items()}

    def enough() -> bool:
        given = [len(keys) - before.get(person, 0) for person, keys in found.keys.items()]
        return len(given) == PEOPLE - 1 and min(given) >= each

    deadline = time.monotonic() + 30.0
    while not enough():
        assert time.monotonic() < deadline, f"some people get no keys any more: {found.answers}"
        await asyncio.sleep(0.02)


def _quiet_bus(deployment: Deployment) -> str:
    """Asks until the bus is quiet: what is redelivered after a kill takes some seconds."""
    return deployment.operator_shell("until latchkey bus status; do sleep 0.5; done")
