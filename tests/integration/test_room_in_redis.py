"""How full Redis is, as `/readyz`, the metrics and `doctor` tell it: before it is too late, and when it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from deploy.doctor import Finding, Verdict, examine
from shared.redis.client import CoalescingRedis
from shared.redis.room import NEARLY_FULL, look
from tests.harness.processes import REPOSITORY
from tests.harness.stack import Stack, serving_stack
from tests.harness.stores import Servers, Stores, fresh_database
from tests.integration.bus.cluster import running_cluster, url_of
from tests.integration.bus.conftest import Valkey

NOTICED_SECONDS: Final = 60.0
BALLAST_BYTES: Final = 32_000_000
SERVICES: Final = ("auth_api", "consent_ui", "key_issuer")


@pytest.fixture
async def stack(servers: Servers, valkey: Valkey) -> AsyncIterator[Stack]:
    """The services on a Redis of the test's own."""
    async with (
        fresh_database(servers) as database_url,
        serving_stack(Stores(database_url, valkey.url)) as stack,
    ):
        yield stack


async def configure(stack: Stack, name: str, value: int) -> None:
    """A setting of Redis."""
    client = CoalescingRedis(stack.stores.redis_url)
    try:
        await client.execute("CONFIG", "SET", name, value)
    finally:
        await client.close()


async def used(stack: Stack) -> int:
    """How many bytes Redis uses now."""
    client = CoalescingRedis(stack.stores.redis_url)
    try:
        return (await look(client)).used_bytes
    finally:
        await client.close()


async def fill(stack: Stack) -> None:
    """Gives Redis something to hold, beside which what connections take and give back is no share worth mentioning."""
    client = CoalescingRedis(stack.stores.redis_url)
    try:
        await client.execute("SET", "lk:ballast", bytes(BALLAST_BYTES))
    finally:
        await client.close()


async def report_with(stack: Stack, dependency: str, pattern: str, status: str) -> dict[str, Any]:
    """The report of ``/readyz`` once each service says this of the dependency, and the status is this; always 200."""
    async with asyncio.timeout(NOTICED_SECONDS):
        while True:
            answer = await stack.site.http.get("/readyz")
            assert answer.status_code == httpx.codes.OK
            report: dict[str, Any] = answer.json()
            words = [report["dependencies"][f"{service}.{dependency}"] for service in SERVICES]
            if report["status"] == status and all(re.search(pattern, word) for word in words):
                return report
            await asyncio.sleep(0.05)


async def ratios(stack: Stack) -> list[float]:
    """What the metric of each service says."""
    exposition = (await stack.site.http.get("/metrics")).text
    found = re.findall(r"^latchkey_redis_used_memory_ratio\{.*\} (\S+)$", exposition, re.MULTILINE)
    assert len(found) == len(SERVICES)
    return [float(each) for each in found]


async def finding(stack: Stack, subject: str) -> Finding:
    """What `doctor` says of it."""
    findings = await examine(stack.stores.environment())
    (found,) = [each for each in findings if (each.area, each.subject) == ("redis", subject)]
    return found


async def test_without_a_limit_there_is_a_share_of_nothing(stack: Stack) -> None:
    """Not degraded; `doctor` warns that the kernel may end Redis."""
    await report_with(stack, "redis_memory", "ok", "ok")
    assert await ratios(stack) == [0.0, 0.0, 0.0]
    assert (await finding(stack, "maxmemory")).verdict is Verdict.WARNING


async def test_a_nearly_full_redis_is_told_everywhere(stack: Stack) -> None:
    """Degraded with the share, still 200 and still working; well again by itself when there is room."""
    await fill(stack)
    await configure(stack, "maxmemory", await used(stack) * 10)
    await report_with(stack, "redis_memory", "ok", "ok")
    assert (await finding(stack, "maxmemory")).verdict is Verdict.OK
    await configure(stack, "maxmemory", int(await used(stack) / 0.93))
    report = await report_with(stack, "redis_memory", r"\d+% of maxmemory is used", "degraded")
    assert report["dependencies"]["auth_api.redis_writes"] == "ok"
    assert max(await ratios(stack)) >= NEARLY_FULL
    problem = await finding(stack, "maxmemory")
    assert problem.verdict is Verdict.PROBLEM
    assert "maxmemory" in problem.advice
    await stack.site.sign_up()
    await configure(stack, "maxmemory", 0)
    await report_with(stack, "redis_memory", "ok", "ok")


@pytest.mark.parametrize(("setting", "word"), [("maxmemory", "OOM"), ("min-replicas-to-write", "NOREPLICAS")])
async def test_a_redis_that_refuses_writes_is_told_with_its_reason(
    stack: Stack, setting: str, word: str
) -> None:
    """Degraded, with 200: what can be done without writes goes on."""
    await configure(stack, setting, 1)
    await report_with(stack, "redis_writes", f"refuses writes: {word}", "degraded")
    refused = await finding(stack, "writes")
    assert refused.verdict is Verdict.PROBLEM
    assert word in refused.detail
    await configure(stack, setting, 0)
    await report_with(stack, "redis_writes", "ok", "ok")


def test_an_alert_fires_where_readyz_says_degraded() -> None:
    """At the same share, and not twice for the same thing."""
    rules = (REPOSITORY / "deploy" / "grafana" / "alerts.yaml").read_text(encoding="utf-8")
    assert f"(latchkey_redis_used_memory_ratio) >= {NEARLY_FULL}\n" in rules
    assert 'latchkey_degraded{dependency!="redis_memory"}' in rules


async def test_redis_is_not_asked_for_each_report(stack: Stack) -> None:
    """However often somebody looks at `/readyz` or scrapes: one task of each process asks, every few seconds."""
    client = CoalescingRedis(stack.stores.redis_url)
    try:
        await client.execute("CONFIG", "RESETSTAT")
        for _ in range(50):
            await stack.site.http.get("/readyz")
            await stack.site.http.get("/metrics")
        told = (await client.execute("INFO", "commandstats")).decode()
    finally:
        await client.close()
    (calls,) = re.findall(r"cmdstat_info:calls=(\d+)", told) or ["0"]
    assert int(calls) < 40


async def test_of_a_cluster_the_fullest_primary_counts(tmp_path: Path) -> None:
    """One of three that is full is enough to be full, and `doctor` names it."""
    async with running_cluster(tmp_path) as nodes:
        client = CoalescingRedis(url_of(nodes))
        try:
            assert (await look(client)).used == 0.0
            await nodes[2].redis.execute("CONFIG", "SET", "maxmemory", 1)
            full = await look(client)
            assert full.used > 1
            assert full.refusal == "OOM"
            findings = await examine({"LATCHKEY_REDIS_URL": url_of(nodes)}, "consent-ui")
            problems = {each.subject for each in findings if each.verdict is Verdict.PROBLEM}
            address = f"127.0.0.1:{nodes[2].port}"
            assert problems >= {f"maxmemory {address}", f"writes {address}"}
        finally:
            await client.close()
