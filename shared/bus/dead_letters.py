"""Dead letters: messages that nobody could handle, kept with the reason until an operator replays or drops them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from shared.bus import names
from shared.bus.scripts import REPLAY
from shared.redis.client import CoalescingRedis

AT_ONCE: Final = 500
_TOLD: Final = ("reason", "by", "on")
"""The fields that are written before those of the message."""


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


async def dead_letters(client: CoalescingRedis) -> list[DeadLetter]:
    """All of them, oldest first in each queue.

    Raises:
        StoreUnavailable: Redis is away.
    """
    return [letter for queue in dead_letter_streams() async for letter in _of_queue(client, queue)]


async def replay_dead_letter(client: CoalescingRedis, letter: DeadLetter) -> bool:
    """Puts a dead letter back into its stream as a first try without a deadline; false if it was gone already.

    One from an event stream is seen by every group of the stream once more.
    """
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


async def _of_queue(client: CoalescingRedis, queue: str) -> AsyncIterator[DeadLetter]:
    dead, _stream = dead_letter_streams()[queue]
    start = "-"
    while entries := await client.execute("XRANGE", dead, start, "+", "COUNT", AT_ONCE):
        for entry_id, fields in entries:
            yield _dead_letter(queue, entry_id, fields)
        start = f"({entries[-1][0].decode()}"


def _dead_letter(queue: str, entry_id: bytes, fields: list[bytes]) -> DeadLetter:
    told = dict(zip(fields[: 2 * len(_TOLD) : 2], fields[1 : 2 * len(_TOLD) : 2], strict=False))
    own = tuple(fields[2 * len(_TOLD) :])
    kind = dict(zip(own[::2], own[1::2], strict=False)).get(b"t", b"?")
    died_on = told.get(b"on", b"")
    return DeadLetter(
        queue=queue,
        id=entry_id.decode(),
        reason=told.get(b"reason", b"").decode("utf-8", "replace"),
        type=kind.decode("utf-8", "replace"),
        died_on=int(died_on) if died_on.isdigit() else 0,
        fields=own,
    )
