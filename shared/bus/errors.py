"""What can go wrong on the bus besides an outage."""

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


class RemoteFailure(Exception):  # noqa: N818 - named as the callers speak of it
    """The other service could not carry out the command and will not: a bug there, or a message it cannot read."""

    def __init__(self, command_type: str, reason: str) -> None:
        """``reason`` is for logs, never for answers."""
        super().__init__(f"{command_type}: {reason}")
        self.command_type = command_type
        self.reason = reason


class MessageTooLarge(ValueError):  # noqa: N818 - named as the callers speak of it
    """A body above the bus's 64 KiB."""


def error_of(reply: CommandError) -> Exception:
    """The exception for an error reply: an outage where waiting helps, else the reply itself."""
    if str(reply).startswith(_PASSING):
        return StoreUnavailable("redis", str(reply).partition(" ")[0])
    return reply
