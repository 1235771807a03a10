"""The run: load, nemesis, then peace, and the checks that must hold afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.checker import digested, stranded, unreceived, violations
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.history import History
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.webhooks import UNTOLD, Receiver
from tests.harness.processes import command

QUIET_SECONDS = 60.0
WORKERS = 32
TOLD_SECONDS = 60.0
"""Every delivery that waits is tried again within a few seconds, and by then nobody refuses any."""
LET_GO = "coro=<PoolConnectionHolder.release() done"
"""asyncpg closes a connection whose stalled server answers no cancellation, and tells nobody: the request was over."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_no_promise_breaks_under_fire(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """At most one key a code; a key handed out works until taken back and never after; the bus ends up quiet."""
    seconds = float(pytestconfig.getoption("--chaos-seconds"))
    seed = pytestconfig.getoption("--chaos-seed") or secrets.randbelow(10**6)
    _say(f"chaos seed {seed}, {seconds:g} s")
    rng = random.Random(int(seed))
    history = History()
    receiver = Receiver(rng, tmp_path)
    async with (
        receiver.serving(),
        running_cluster(tmp_path, {"LATCHKEY_CLIENTS_PER_USER": "1000"} | receiver.environ) as cluster,
        Load(cluster, history, rng, receiver) as load,
    ):
        await cluster.start_programs()
        await load.populate(people=min(60, 6 + int(seconds / 10)), clients=20)
        nemesis = Nemesis(cluster, history, rng, load.next_answer)
        began = time.monotonic()
        playing = asyncio.create_task(load.run(WORKERS))
        await nemesis.rage(seconds)
        load.stop()
        await playing
        _say(f"load of {time.monotonic() - began:.0f} s")
        await _quiet(cluster)
        await load.settle()
        broken = violations(history) + stranded(history) + unreceived(history, await _live_rows(cluster))
        broken += await _untold(cluster, receiver) + _bugs(cluster)
        summary = _summary(history, load.exchanges)
        _say(summary)
        if broken:
            history.write(tmp_path / "history.json")
        assert not broken, f"seed {seed}, kept in {tmp_path}: {digested(broken)}\n{summary}"
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


def _bugs(cluster: Cluster) -> list[str]:
    """What a service has logged as a fault of its own, whoever heard of it; an outage is none."""
    return [
        f"{name} logged a bug: …{line[-600:]}"
        for name in cluster.urls
        for line in cluster.log_of(name).splitlines()
        if '"level": "error"' in line and LET_GO not in line
    ]


async def _live_rows(cluster: Cluster) -> list[tuple[str, str | None]]:
    """Every key that is not revoked: its id, and the digest of the code that it came of."""
    connection = await asyncpg.connect(cluster.environ["LATCHKEY_DATABASE_URL"])
    try:
        rows = await connection.fetch(
            "SELECT key_id, encode(code_digest, 'hex') AS code FROM keys.api_keys WHERE status <> 'revoked'"
        )
    finally:
        await connection.close()
    return [(row["key_id"], row["code"]) for row in rows]


async def _untold(cluster: Cluster, receiver: Receiver) -> list[str]:
    """Keys of whose end no program was told, once the receiver is well and every delivery has had its time."""
    receiver.failing = False
    connection = await asyncpg.connect(cluster.environ["LATCHKEY_DATABASE_URL"])
    try:
        rows = await connection.fetch(
            "SELECT key_id FROM keys.api_keys"
            " WHERE client_id IS NOT NULL AND status = 'revoked' AND end_reason <> ALL ($1)",
            UNTOLD,
        )
    finally:
        await connection.close()
    ended = [row["key_id"] for row in rows]
    with suppress(TimeoutError):
        async with asyncio.timeout(TOLD_SECONDS):
            while receiver.lost(ended):
                await asyncio.sleep(0.5)
    _say(f"{len(ended)} keys ended, {len(receiver.told)} told, {receiver.refused} tries refused")
    return receiver.lost(ended) + receiver.wrong


def _summary(history: History, exchanges: int) -> str:
    answers = Counter(
        (operation.step, operation.status) for story in history.stories for operation in story.operations
    )
    faults = Counter((fault.kind, fault.target) for fault in history.faults)
    lines = [f"{len(history.stories)} codes, {exchanges} keys, {sum(faults.values())} faults"]
    lines += [f"  {step} {status or 'lost'}: {count}" for (step, status), count in sorted(answers.items())]
    lines += [f"  {kind} {target}: {count}" for (kind, target), count in sorted(faults.items())]
    return "\n".join(lines)
