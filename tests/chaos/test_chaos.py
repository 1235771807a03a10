"""The run: load, nemesis, then peace, and the checks that must hold afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
from collections import Counter
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.checker import violations
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.history import History
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.harness.processes import command

PENDING_SECONDS = 30
"""Longer than it takes until the entries of a dead consumer are taken over (15 s), confirmations among them."""
QUIET_SECONDS = 60.0
WORKERS = 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_no_promise_breaks_under_fire(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """At most one key a code; a key handed out works until taken back and never after; the bus ends up quiet."""
    seconds = float(pytestconfig.getoption("--chaos-seconds"))
    seed = pytestconfig.getoption("--chaos-seed") or secrets.randbelow(10**6)
    _say(f"chaos seed {seed}, {seconds:g} s")
    rng = random.Random(int(seed))
    history = History()
    environ = {"LATCHKEY_PENDING_KEY_SECONDS": str(PENDING_SECONDS), "LATCHKEY_CLIENTS_PER_USER": "1000"}
    async with running_cluster(tmp_path, environ) as cluster, Load(cluster, history, rng) as load:
        await load.populate(people=min(60, 6 + int(seconds / 10)), clients=20)
        nemesis = Nemesis(cluster, history, rng)
        playing = asyncio.create_task(load.run(WORKERS))
        await nemesis.rage(asyncio.get_running_loop().time() + seconds)
        load.stop()
        await playing
        await _quiet(cluster)
        await load.check_all(history.stories)
        broken = violations(history) + await _undelivered(cluster, history)
        summary = _summary(history, load.exchanges)
        _say(summary)
        assert not broken, (
            f"seed {seed}: {len(broken)} violations\n" + "\n".join(broken[:40]) + f"\n{summary}"
        )
        assert load.exchanges > seconds


def _say(text: str) -> None:
    """For whoever watches with ``-s``, and in the report of a failure."""
    sys.stderr.write(text + "\n")


async def _quiet(cluster: Cluster) -> None:
    """Recovery needs no hand: backlog 0, nothing pending, no dead letters."""
    status: dict[str, object] = {}
    async with asyncio.timeout(QUIET_SECONDS):
        while not status.get("quiet"):
            await asyncio.sleep(0.5)
            try:
                printed = await asyncio.to_thread(command, "bus", "status", "--json", environ=cluster.environ)
            except AssertionError:
                continue
            status = json.loads(printed)


async def _undelivered(cluster: Cluster, history: History) -> list[str]:
    """After the pending time no key lives that nobody received, and no code gave two rows."""
    await asyncio.sleep(PENDING_SECONDS + 4)
    received = {token.split("_")[2] for story in history.stories for token in story.tokens}
    connection = await asyncpg.connect(cluster.environ["LATCHKEY_DATABASE_URL"])
    try:
        rows = await connection.fetch(
            "SELECT key_id, code_digest, key_id IN (SELECT key_id FROM keys.undelivered_keys) AS pending"
            " FROM keys.api_keys WHERE status <> 'revoked'"
        )
    finally:
        await connection.close()
    unknown = [row["key_id"] for row in rows if row["key_id"] not in received]
    pending = [row["key_id"] for row in rows if row["pending"]]
    twice = [digest for digest, count in Counter(row["code_digest"] for row in rows).items() if count > 1]
    return (
        [f"key {key_id} lives and nobody received it" for key_id in unknown]
        + [f"key {key_id} still waits for its delivery" for key_id in pending]
        + [f"code {digest.hex()[:8]} has two live rows" for digest in twice]
    )


def _summary(history: History, exchanges: int) -> str:
    answers = Counter(
        (operation.step, operation.status) for story in history.stories for operation in story.operations
    )
    faults = Counter((fault.kind, fault.target) for fault in history.faults)
    lines = [f"{len(history.stories)} codes, {exchanges} keys, {sum(faults.values())} faults"]
    lines += [f"  {step} {status or 'lost'}: {count}" for (step, status), count in sorted(answers.items())]
    lines += [f"  {kind} {target}: {count}" for (kind, target), count in sorted(faults.items())]
    return "\n".join(lines)
