"""Looks at Redis: reachable, recent enough, keeping what it is told, and how the streams on it are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from deploy.doctor.findings import Notes
from deploy.doctor.redis_rights import examine_rights
from deploy.doctor.sentinels import examine_replicas, examine_sentinels, sentinels_of
from shared.bus import CoalescingRedis, CommandError, names
from shared.bus.status import QueueStatus, bus_status
from shared.errors import StoreUnavailable
from shared.redis.room import NEARLY_FULL, look_at

AREA: Final = "redis"
STREAMS: Final = "streams"
REVOCATIONS: Final = names.BROADCASTS[0]
_OLDEST: Final = (7, 0)
_REFUSALS: Final = {
    "OOM": "Raise `maxmemory` at once; until then keys can only be taken back.",
    "NOREPLICAS": "Start the replicas that `min-replicas-to-write` asks for; until then nothing can be changed.",
    "MISCONF": "Look at the disk of Redis: is it full? Until it writes again nothing can be changed.",
}
_OLD_ENTRY_MS: Final = 10_000
_SKEW_MS: Final = 2_000
_DEAF_SECONDS: Final = 4


async def examine_redis(url: str, now: int) -> list[Notes]:
    """The findings on the server and on the streams."""
    server, streams = Notes(AREA), Notes(STREAMS)
    if not url:
        server.unknown("server", "not configured", "Set LATCHKEY_REDIS_URL.")
        return [server, streams]
    client, sentinels = CoalescingRedis(url), sentinels_of(url)
    try:
        if sentinels:
            await examine_sentinels(server, sentinels)
        info = await _reach(client, server)
        if info is None:
            streams.unknown("all", "Redis was not reached")
        else:
            _examine_server(server, info)
            _examine_persistence(server, info, await _configured(client, "appendfsync"))
            if sentinels:
                examine_replicas(server, info, await _configured(client, "min-replicas-to-write"))
            await _examine_room(client, server)
            await _examine_clock(client, server)
            await _examine_user(client, server)
            await examine_rights(client, server)
            await _examine_streams(client, streams, now)
    finally:
        await client.close()
    return [server, streams]


async def _reach(client: CoalescingRedis, notes: Notes) -> Mapping[str, str] | None:
    try:
        started = time.perf_counter()
        await client.ping()
        milliseconds = (time.perf_counter() - started) * 1000
        answer = await client.execute("INFO", "all")
    except StoreUnavailable as error:
        notes.problem(
            "server",
            f"not reachable: {error.reason}",
            "Start Redis, or mend LATCHKEY_REDIS_URL (host, port, password).",
        )
        return None
    except CommandError as error:
        notes.problem(
            "server", f"refuses: {error}", "Give the user the right to PING and INFO (deploy/redis)."
        )
        return None
    notes.ok("server", f"answers in {milliseconds:.1f} ms")
    return dict(
        line.split(":", 1) for line in answer.decode(errors="replace").splitlines() if ":" in line[1:]
    )


def _examine_server(notes: Notes, info: Mapping[str, str]) -> None:
    version = info.get("redis_version", "0.0")
    name = "Valkey " + info["valkey_version"] if "valkey_version" in info else "Redis " + version
    numbers = tuple(int(part) for part in version.split(".")[:2])
    notes.judge(
        "version", name, good=numbers >= _OLDEST, advice="Upgrade to Redis 7.0 or Valkey 8, or later."
    )
    policy = info.get("maxmemory_policy", "unknown")
    notes.judge(
        "maxmemory-policy",
        policy,
        good=policy == "noeviction",
        advice="Set `maxmemory-policy noeviction`: any other one silently throws away streams with what waits in them.",
    )
    role = info.get("role", "master")
    notes.judge(
        "role",
        role,
        good=role == "master",
        advice="Point LATCHKEY_REDIS_URL at the primary: a replica takes no writes.",
    )


async def _examine_room(client: CoalescingRedis, notes: Notes) -> None:
    """How full each primary is, and whether it takes writes now."""
    try:
        rooms = [(name, await look_at(connection)) for name, connection in await client.primaries()]
    except StoreUnavailable as error:
        notes.unknown("maxmemory", f"a primary is not reachable: {error.reason}")
        return
    for name, room in rooms:
        subject = f"maxmemory {name}".strip()
        most = f"{room.most_bytes >> 20} MB" if room.most_bytes else "no limit"
        size = f"{room.used_bytes >> 20} MB used of {most}"
        if not room.most_bytes:
            notes.warning(
                subject,
                size,
                "Set `maxmemory` below the machine's memory, so that the kernel never kills Redis.",
            )
        else:
            notes.judge(
                subject,
                size,
                good=room.used < NEARLY_FULL,
                advice="Raise `maxmemory`: when it is full, sign-in and every exchange are refused.",
            )
        notes.judge(
            f"writes {name}".strip(),
            f"refused: {room.refusal}" if room.refusal else "are taken",
            good=not room.refusal,
            advice=_REFUSALS.get(room.refusal, "Look at the log of Redis."),
        )


def _examine_persistence(notes: Notes, info: Mapping[str, str], fsync: str | None) -> None:
    if info.get("aof_enabled") != "1":
        notes.problem(
            "append-only file",
            "off: a restart forgets sessions, codes and what waits in the streams",
            "Set `appendonly yes` and `appendfsync everysec`.",
        )
        return
    good = (
        info.get("aof_last_write_status", "ok") == "ok"
        and info.get("aof_last_bgrewrite_status", "ok") == "ok"
    )
    notes.judge(
        "append-only file",
        "on" if good else "on, but the last write failed",
        good=good,
        advice="Look at the disk: is it full?",
    )
    if fsync is None:
        notes.unknown("appendfsync", "the server does not tell")
    elif fsync == "no":
        notes.warning("appendfsync", "no: a power cut loses half a minute", "Set `appendfsync everysec`.")
    else:
        notes.ok("appendfsync", fsync)


async def _configured(client: CoalescingRedis, name: str) -> str | None:
    """A setting of the server, or ``None`` where it is not told (managed servers, other users)."""
    try:
        answer: list[bytes] = await client.execute("CONFIG", "GET", name)
    except CommandError:
        return None
    return answer[1].decode() if answer else None


async def _examine_clock(client: CoalescingRedis, notes: Notes) -> None:
    before = time.time()
    seconds, micros = await client.execute("TIME")
    here = (before + time.time()) / 2
    skew = round((int(seconds) + int(micros) / 1e6 - here) * 1000)
    notes.judge(
        "clock",
        f"{skew:+d} ms from here",
        good=abs(skew) < _SKEW_MS,
        advice="Let both machines follow NTP: deadlines depend on it.",
    )


async def _examine_user(client: CoalescingRedis, notes: Notes) -> None:
    """Whether strangers get in without a password."""
    try:
        name = (await client.execute("ACL", "WHOAMI")).decode()
        rules: Any = await client.execute("ACL", "GETUSER", "default")
    except CommandError:
        notes.ok("user", "has no right to look at the access lists")
        return
    default = dict(zip(rules[::2], rules[1::2], strict=False)) if rules else {}
    if b"nopass" in default.get(b"flags", ()) and b"on" in default[b"flags"]:
        notes.warning(
            "user",
            f"{name}; but the user `default` needs no password",
            "Set `requirepass` or `user default off` (deploy/redis).",
        )
    elif b"+@all" not in default.get(b"commands", b"+@all"):
        notes.problem(
            "user",
            "`default` has lost its rights: a restart drops what scripts wrote to the append-only file",
            "Turn it off but leave its rights: `user default off resetpass allkeys allchannels +@all`.",
        )
    else:
        notes.ok("user", name)


async def _examine_streams(client: CoalescingRedis, notes: Notes, now: int) -> None:
    try:
        status = await bus_status(client, now)
    except (StoreUnavailable, CommandError) as error:
        notes.unknown("all", str(error), "Ask with a Redis user that may read lk:*.")
        return
    for queue in status.queues:
        _examine_queue(notes, queue)
    await _examine_revocations(client, notes)


async def _examine_revocations(client: CoalescingRedis, notes: Notes) -> None:
    """Whether verifiers hear: key_issuer appends an entry at least every other second."""
    try:
        newest: list[Any] = await client.execute(
            "XREVRANGE", names.event_stream(REVOCATIONS), "+", "-", "COUNT", 1
        )
        seconds, _micros = await client.execute("TIME")
    except (StoreUnavailable, CommandError) as error:
        notes.unknown(REVOCATIONS, str(error), "Ask with a Redis user that may read lk:{revocations}.")
        return
    age = int(seconds) - int(newest[0][0].partition(b"-")[0]) // 1000 if newest else None
    if age is not None and age < _DEAF_SECONDS:
        notes.ok(REVOCATIONS, "are heard")
    else:
        notes.warning(
            REVOCATIONS,
            "none, and no heartbeat, " + ("ever" if age is None else f"for {age} s"),
            "Every check asks PostgreSQL. Is key_issuer running? Does Redis take writes (maxmemory, min-replicas-to-write)?",
        )


def _examine_queue(notes: Notes, queue: QueueStatus) -> None:
    detail = (
        f"backlog {queue.backlog}, pending {queue.pending}, put aside {queue.delayed}, "
        f"dead letters {queue.dead_letters}, readers {queue.consumers}"
    )
    service = queue.stream.split(".")[-1].partition(":")[0]
    if queue.dead_letters:
        notes.problem(
            queue.stream, detail, "Read them: `latchkey bus dead-letters list`; then replay or drop each."
        )
    elif queue.backlog and not queue.consumers:
        notes.problem(queue.stream, detail, f"Nobody reads it: start {service}.")
    elif queue.oldest_ms > _OLD_ENTRY_MS and queue.backlog:
        age = f"{queue.oldest_ms / 1000:.0f} s"
        notes.warning(
            queue.stream, f"{detail}; the oldest waits for {age}", f"Scale or restart {service}; see its log."
        )
    elif not queue.consumers and not queue.stream.startswith("events."):
        notes.warning(queue.stream, detail, f"Nobody reads it: start {service}.")
    else:
        notes.ok(queue.stream, detail)
