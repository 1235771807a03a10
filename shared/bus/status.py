"""What an operator asks of the bus: how full it is, who reads, what died, and mending that."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from shared.bus import names
from shared.bus.errors import CommandError
from shared.bus.redis_client import CoalescingRedis
from shared.bus.scripts import REPLAY

_TOLD_BY_US = (b"reason", b"by", b"on")


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


@dataclass(frozen=True, slots=True)
class BusStatus:
    """The whole bus; quiet when nothing waits anywhere."""

    queues: tuple[QueueStatus, ...]

    @property
    def quiet(self) -> bool:
        """No backlog, nothing pending or put aside, no dead letters."""
        return not any(
            queue.backlog or queue.pending or queue.delayed or queue.dead_letters for queue in self.queues
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"quiet": self.quiet, "queues": [asdict(queue) for queue in self.queues]}


async def bus_status(client: CoalescingRedis, now: int) -> BusStatus:
    """Looks at every stream.

    Raises:
        StoreUnavailable: Redis is away.
    """
    queues = [
        await _queue_status(
            client, queue, names.commands(queue), names.delayed(queue), names.dead(queue), now
        )
        for queue in names.EVERY_QUEUE
    ]
    for stream in names.EVENT_STREAMS:
        queues.append(await _event_status(client, stream, now))  # noqa: PERF401 - awaits
    return BusStatus(tuple(queues))


async def _queue_status(
    client: CoalescingRedis, name: str, stream: str, delayed: str, dead: str, now: int
) -> QueueStatus:
    first = await client.execute("XRANGE", stream, "-", "+", "COUNT", 1)
    groups = await _groups(client, stream)
    return QueueStatus(
        stream=name,
        backlog=await client.execute("XLEN", stream),
        oldest_ms=max(0, now - int(first[0][0].split(b"-")[0])) if first else 0,
        pending=sum(group[b"pending"] for group in groups),
        delayed=await client.execute("ZCARD", delayed),
        dead_letters=await client.execute("XLEN", dead),
        consumers=sum(group[b"consumers"] for group in groups),
    )


async def _event_status(client: CoalescingRedis, name: str, now: int) -> QueueStatus:
    """Of an event stream, whose entries stay, what a group has not read yet counts as backlog."""
    stream = names.event_stream(name)
    groups = await _groups(client, stream)
    backlog = oldest = delayed = 0
    for group in groups:
        unread = await client.execute(
            "XRANGE", stream, "(" + group[b"last-delivered-id"].decode(), "+", "COUNT", 10_000
        )
        backlog += len(unread)
        oldest = max(oldest, now - int(unread[0][0].split(b"-")[0]) if unread else 0)
        delayed += await client.execute("ZCARD", names.event_delayed(name, group[b"name"].decode()))
    return QueueStatus(
        stream=name,
        backlog=backlog,
        oldest_ms=oldest,
        pending=sum(group[b"pending"] for group in groups),
        delayed=delayed,
        dead_letters=await client.execute("XLEN", names.event_dead(name)),
        consumers=sum(group[b"consumers"] for group in groups),
    )


async def _groups(client: CoalescingRedis, stream: str) -> list[dict[bytes, Any]]:
    try:
        rows = await client.execute("XINFO", "GROUPS", stream)
    except CommandError:
        return []
    return [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that nobody could handle: where, why, and its fields as they were."""

    queue: str
    id: str
    reason: str
    type: str
    died_on: int
    fields: tuple[bytes, ...]


def dead_letter_streams() -> dict[str, tuple[str, str]]:
    """Queue or event stream → its dead-letter stream and where a replay goes."""
    found = {queue: (names.dead(queue), names.commands(queue)) for queue in names.EVERY_QUEUE}
    return found | {name: (names.event_dead(name), names.event_stream(name)) for name in names.EVENT_STREAMS}


async def dead_letters(client: CoalescingRedis, most: int = 1000) -> list[DeadLetter]:
    """All dead letters, oldest first in each queue."""
    found = []
    for queue, (dead, _stream) in dead_letter_streams().items():
        for entry_id, fields in await client.execute("XRANGE", dead, "-", "+", "COUNT", most):
            found.append(_dead_letter(queue, entry_id, fields))
    return found


def _dead_letter(queue: str, entry_id: bytes, fields: list[bytes]) -> DeadLetter:
    told = dict(zip(fields[:6:2], fields[1:6:2], strict=True))
    own = dict(zip(fields[6::2], fields[7::2], strict=False))
    return DeadLetter(
        queue=queue,
        id=entry_id.decode(),
        reason=told[b"reason"].decode("utf-8", "replace"),
        type=own.get(b"t", b"?").decode("utf-8", "replace"),
        died_on=int(told[b"on"]),
        fields=tuple(fields[6:]),
    )


async def replay_dead_letter(client: CoalescingRedis, letter: DeadLetter) -> bool:
    """Puts a dead letter back into its stream as a first try without a deadline; false if it was gone already."""
    fields: list[bytes] = []
    for name, value in zip(letter.fields[::2], letter.fields[1::2], strict=False):
        if name == b"n":
            fields += (name, b"1")
        elif name != b"exp":
            fields += (name, value)
    dead, stream = dead_letter_streams()[letter.queue]
    return bool(await client.run_script(REPLAY, [dead, stream], [letter.id, *fields]))


async def drop_dead_letter(client: CoalescingRedis, letter: DeadLetter) -> bool:
    """Deletes a dead letter; false if it was gone already."""
    dead, _stream = dead_letter_streams()[letter.queue]
    return bool(await client.execute("XDEL", dead, letter.id))
