"""The names of streams and keys. What stands in braces decides the slot in a Redis Cluster.

Commands reach a service by one stream for each service that sends them (``:0`` is part of the name since 0.1.0), so that
rights in Redis decide who may say what. auth_api hears key_issuer by ``auth_api`` and consent_ui by
``auth_api:consent_ui``. key_issuer hears auth_api alone, by ``key_issuer``, and by ``key_issuer:first`` what takes keys
back, which waits behind no issue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

QUEUES_OF: Final = {
    "key_issuer": ("key_issuer:first", "key_issuer"),
    "auth_api": ("auth_api:consent_ui", "auth_api"),
}
"""The command streams of each service that takes commands."""
EVERY_QUEUE: Final = tuple(queue for queues in QUEUES_OF.values() for queue in queues)
EVENTS_OF: Final = {"auth_api": ("events.auth",), "key_issuer": ("events.keys",)}
"""The event streams that each service writes; each reads the other's."""
EVENT_STREAMS: Final = tuple(stream for streams in EVENTS_OF.values() for stream in streams)
PAST_TYPES: Final = {"events.keys": frozenset({"key.issued", "key.revoked"})}
"""Types of events that release 0.1 wrote to a stream, for no reader: some of its entries may be there still."""
BROADCASTS: Final = ("revocations",)


@cache
def commands(queue: str) -> str:
    """A command stream; its length is the backlog."""
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
    """The stream of answers to one process, whose name begins with that of its service and a dot."""
    return f"lk:{{replies.{instance}}}"


def replies_begin(service: str = "") -> str:
    """What the names of all streams of answers to a service begin with; without one, those of answers to anybody."""
    return f"lk:{{replies.{service}." if service else "lk:{replies."


def group(queue: str) -> str:
    """The consumer group on a command stream."""
    return queue


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """One stream and group, and the keys beside them; all in one slot of a cluster."""

    stream: str
    group: str
    dead: str
    delayed: str | None
    """``None`` on event streams: what comes back later would come back to every group."""
    past_types: frozenset[str] = frozenset()
    """Types of messages of an earlier release that are acknowledged and nothing else."""
