"""What Redis refuses: a command for what it is, or every command for a moment."""

from __future__ import annotations

from typing import Final

from shared.errors import StoreUnavailable

# What a server says that is starting, full, failing over or cut off; the same command may succeed in a moment.
_PASSING: Final = (
    "LOADING",
    "BUSY ",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "READONLY",
    "UNBLOCKED force",  # said to whoever waits in a read when a primary becomes a replica
    "OOM",
    "MISCONF",
    "TRYAGAIN",
    "NOREPLICAS",
    "NOAUTH",
    "WRONGPASS",
    "EXECABORT",
    "ERR max number of clients",
)


class CommandError(Exception):
    """Redis refused a command for what it is: a bug of ours, or a stream or group that is not there."""

    @property
    def code(self) -> str:
        """The first word of what Redis said: ``NOGROUP``, ``NOSCRIPT``, ``WRONGTYPE``."""
        return str(self).partition(" ")[0]


def error_of(reply: CommandError) -> Exception:
    """The exception for an error reply: an outage where waiting helps, else the reply itself."""
    if str(reply).startswith(_PASSING):
        return StoreUnavailable("redis", str(reply).partition(" ")[0])
    return reply
