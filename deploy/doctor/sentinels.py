"""Looks at what Redis Sentinel needs to fail over: sentinels that answer and agree, and a replica to fail over to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.doctor.findings import Notes
from shared.redis.sentinel import SentinelQuorum
from shared.redis.url import RedisAddress, parse_redis_url

FEWEST: Final = 3


def sentinels_of(url: str) -> Sequence[RedisAddress]:
    """Those that a URL names; none where it names servers."""
    return [address for address in parse_redis_url(url) if address.primary is not None]


async def examine_sentinels(notes: Notes, sentinels: Sequence[RedisAddress]) -> None:
    """Each of them by itself, then all together."""
    quorums = [SentinelQuorum([sentinel]) for sentinel in sentinels]
    told = await asyncio.gather(*(quorum.votes() for quorum in quorums))
    named = set()
    for sentinel, quorum, votes in zip(sentinels, quorums, told, strict=True):
        quorum.close()
        subject = f"sentinel {sentinel.host}:{sentinel.port}"
        if votes:
            (primary,) = votes
            named.add(f"{primary.host}:{primary.port}")
            notes.ok(subject, f"names {primary.host}:{primary.port}")
        else:
            notes.problem(
                subject,
                quorum.problem,
                "Start it, or mend LATCHKEY_REDIS_URL (host, port, the name after the slash, sentinel_password).",
            )
    if len(named) > 1:
        notes.problem(
            "sentinels",
            f"they disagree: {' and '.join(sorted(named))}",
            "Wait for a failover to end; then look whether they reach one another.",
        )
    elif len(sentinels) < FEWEST:
        notes.warning(
            "sentinels",
            f"the URL names {len(sentinels)}",
            "Run three on different machines and name all of them: fewer cannot outvote one that is cut off.",
        )


def examine_replicas(notes: Notes, info: Mapping[str, str], to_write: str | None) -> None:
    """On the primary: is there anything to fail over to, and does it stop taking writes when it is cut off."""
    replicas = int(info.get("connected_slaves", 0))
    if replicas:
        notes.ok("replicas", f"{replicas} connected")
    else:
        notes.problem("replicas", "none is connected", "Start one: without it nothing can take over.")
    if to_write is None:
        notes.unknown("min-replicas-to-write", "the server does not tell")
    elif to_write == "0":
        notes.warning(
            "min-replicas-to-write",
            "0: a primary that is cut off goes on taking what will be thrown away",
            "Set `min-replicas-to-write 1` and `min-replicas-max-lag 2`, on every server.",
        )
    else:
        notes.ok("min-replicas-to-write", to_write)
