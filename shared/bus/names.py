"""The names of streams and keys. What stands in braces decides the slot in a Redis Cluster.

Each service has one command stream (``:0`` is part of its name since 0.1.0), and key_issuer a second one for what takes
keys back, which waits behind no issue. Its name begins as the first one's does, so the same rights suffice for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

EVERY_QUEUE: Final = ("key_issuer:first", "key_issuer", "auth_api")
EVENT_STREAMS: Final = ("events.auth",)
BROADCASTS: Final = ("revocations",)


@cache
def commands(queue: str) -> str:
    """The command stream of a service; its length is the backlog."""
    return f"lk:{{{queue}:0}}:commands"


def delayed(queue: str) -> str:
    """The sorted set of commands that wait for another try, by due time in ms."""
    return f"lk:{{{queue}:0}}:delayed"


def dead(queue: str) -> str:
    """The stream of commands that nobody could handle, each with its reason."""
    return f"lk:{{{queue}:0}}:dead"


@cache
def event_stream(name: str) -> str:
    """A stream of events or a broadcast."""
    return f"lk:{{{name}}}"


def event_dead(name: str) -> str:
    """Events that a group could not handle."""
    return f"lk:{{{name}}}:dead"


def replies(instance: str) -> str:
    """The stream of answers to one process."""
    return f"lk:{{replies.{instance}}}"


def group(queue: str) -> str:
    """The consumer group of a service on its own command stream."""
    return queue


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """One stream and group, and the keys beside them; all in one slot of a cluster."""

    stream: str
    group: str
    dead: str
    delayed: str | None
    """``None`` on event streams: what comes back later would come back to every group."""
