"""What an operator asks of the bus: how full it is, who reads, and whether all is quiet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from shared.bus import names
from shared.redis.client import CoalescingRedis
from shared.redis.errors import CommandError, error_of

MOST_COUNTED: Final = 10_000
"""Where Redis cannot tell how far behind a group is, entries are counted up to here."""

Fields = dict[bytes, Any]


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """One member of a group; ``idle_ms`` since it last asked for entries."""

    group: str
    name: str
    pending: int
    idle_ms: int


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One command or event stream. ``oldest_ms`` is the age of its oldest entry that is not finished."""

    stream: str
    backlog: int
    oldest_ms: int
    pending: int
    delayed: int
    dead_letters: int
    consumers: int
    members: tuple[ConsumerStatus, ...] = ()

    @property
    def quiet(self) -> bool:
        """Nothing waits here."""
        return not (self.backlog or self.pending or self.delayed or self.dead_letters)


@dataclass(frozen=True, slots=True)
class BusStatus:
    """The whole bus; quiet when nothing waits anywhere."""

    queues: tuple[QueueStatus, ...]

    @property
    def quiet(self) -> bool:
        """No backlog, nothing pending or put aside, no dead letters."""
        return all(queue.quiet for queue in self.queues)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"quiet": self.quiet, "queues": [asdict(queue) for queue in self.queues]}


async def bus_status(client: CoalescingRedis, now: int) -> BusStatus:
    """Looks at every stream; ``now`` in Unix milliseconds, by the clock of Redis where it is known.

    Raises:
        StoreUnavailable: Redis is away.
    """
    queues = [await _queue_status(client, queue, now) for queue in names.EVERY_QUEUE]
    events = [await _event_status(client, stream, now) for stream in names.EVENT_STREAMS]
    return BusStatus((*queues, *events))


async def _queue_status(client: CoalescingRedis, queue: str, now: int) -> QueueStatus:
    stream = names.commands(queue)
    backlog, first, delayed, letters = await _ask(
        client,
        ("XLEN", stream),
        ("XRANGE", stream, "-", "+", "COUNT", 1),
        ("ZCARD", names.delayed(queue)),
        ("XLEN", names.dead(queue)),
    )
    groups = await _groups(client, stream)
    return QueueStatus(
        stream=queue,
        backlog=backlog,
        oldest_ms=_age(first, now),
        pending=sum(group[b"pending"] for group in groups),
        delayed=delayed,
        dead_letters=letters,
        consumers=sum(group[b"consumers"] for group in groups),
        members=await _members(client, stream, groups),
    )


async def _event_status(client: CoalescingRedis, name: str, now: int) -> QueueStatus:
    """Of an event stream, whose entries stay, what a group has not read yet counts as backlog."""
    stream = names.event_stream(name)
    groups = await _groups(client, stream)
    backlog = oldest = 0
    for group in groups:
        unread, first = await _unread(client, stream, group)
        backlog += unread
        oldest = max(oldest, _age(first, now))
    (letters,) = await _ask(client, ("XLEN", names.event_dead(name)))
    return QueueStatus(
        stream=name,
        backlog=backlog,
        oldest_ms=oldest,
        pending=sum(group[b"pending"] for group in groups),
        delayed=0,
        dead_letters=letters,
        consumers=sum(group[b"consumers"] for group in groups),
        members=await _members(client, stream, groups),
    )


async def _unread(client: CoalescingRedis, stream: str, group: Fields) -> tuple[int, list[Any]]:
    """How many entries a group has not read, and the first one that it has not finished."""
    read = group[b"last-delivered-id"].decode()
    summary, unread = await _ask(
        client, ("XPENDING", stream, group[b"name"]), ("XRANGE", stream, f"({read}", "+", "COUNT", 1)
    )
    lag = group.get(b"lag")
    if lag is None and unread:
        (counted,) = await _ask(client, ("XRANGE", stream, f"({read}", "+", "COUNT", MOST_COUNTED))
        lag = len(counted)
    first = [[summary[1]]] if summary[0] else unread
    return (lag or 0) if unread else 0, first


async def _members(
    client: CoalescingRedis, stream: str, groups: Iterable[Fields]
) -> tuple[ConsumerStatus, ...]:
    members = []
    for group in groups:
        (rows,) = await _ask(client, ("XINFO", "CONSUMERS", stream, group[b"name"]))
        for row in rows:
            member = _by_name(row)
            members.append(
                ConsumerStatus(
                    group[b"name"].decode(), member[b"name"].decode(), member[b"pending"], member[b"idle"]
                )
            )
    return tuple(members)


async def _groups(client: CoalescingRedis, stream: str) -> list[Fields]:
    try:
        (rows,) = await _ask(client, ("XINFO", "GROUPS", stream))
    except CommandError as error:
        if error.code != "ERR":  # there is no such stream
            raise
        return []
    return [_by_name(row) for row in rows]


async def _ask(client: CoalescingRedis, *commands: tuple[str | bytes | int, ...]) -> list[Any]:
    answers = await client.execute_many(commands)
    for answer in answers:
        if isinstance(answer, CommandError):
            raise error_of(answer)
    return answers


def _by_name(row: list[Any]) -> Fields:
    return dict(zip(row[::2], row[1::2], strict=True))


def _age(entries: list[Any], now: int) -> int:
    return max(0, now - int(entries[0][0].partition(b"-")[0])) if entries else 0
