"""Errors that every layer knows: a store or the bus that cannot be reached right now."""

from __future__ import annotations


class StoreUnavailable(Exception):  # noqa: N818 - named for what is true, as the edge tells it
    """A store does not answer; the same request may succeed in ``retry_after`` seconds."""

    retry_after = 1

    def __init__(self, store: str, reason: str = "") -> None:
        """``store`` is ``redis``, ``postgres`` or ``bus``; ``reason`` is for logs, never for answers."""
        super().__init__(f"{store}: {reason}" if reason else store)
        self.store = store
        self.reason = reason


class BusUnavailable(StoreUnavailable):
    """The other service did not answer, or the bus cannot take the message."""

    def __init__(self, reason: str = "") -> None:
        """``reason`` says which: ``down``, ``overload``, ``deadline``."""
        super().__init__("bus", reason)
