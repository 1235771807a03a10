"""Why an address that a user gave was not called, or gave no answer."""

from __future__ import annotations

from typing import Literal

FailureReason = Literal["timeout", "name", "connection", "tls", "proxy", "answer"]
"""Too late; no such name; nobody there, or gone; no good certificate; the operator's proxy; no HTTP, or too much of it."""


class FetchError(Exception):
    """There is no answer; the message tells why, in words for whoever gave the address."""


class AddressRefusedError(FetchError):
    """The address is none that we call; nothing was sent."""


class FetchFailedError(FetchError):
    """The address was called, and no answer came; ``reason`` is one word for it."""

    def __init__(self, reason: FailureReason) -> None:
        """The word is the message too: what went wrong in detail may tell of our own network."""
        super().__init__(reason)
        self.reason = reason
