"""What can go wrong with a message besides an outage."""

from __future__ import annotations


class RemoteFailure(Exception):  # noqa: N818 - named as the callers speak of it
    """The other service could not carry out the command and will not: a bug there, or a message it cannot read."""

    def __init__(self, command_type: str, reason: str) -> None:
        """``reason`` is for logs, never for answers."""
        super().__init__(f"{command_type}: {reason}")
        self.command_type = command_type
        self.reason = reason


class MessageTooLarge(ValueError):  # noqa: N818 - named as the callers speak of it
    """A body above the bus's 64 KiB."""
