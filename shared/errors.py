"""Errors that every layer knows: a store or the bus that cannot be reached right now."""

from __future__ import annotations


class StoreUnavailable(Exception):  # noqa: N818 - named for what is true, as the edge tells it
    """A store does not answer; the same request may succeed in ``retry_after`` seconds."""

    def __init__(self, store: str, reason: str = "", retry_after: int = 1) -> None:
        """``store`` is ``redis``, ``postgres`` or ``bus``; ``reason`` is for logs, never for answers."""
        super().__init__(f"{store}: {reason}" if reason else store)
        self.store = store
        self.reason = reason
        self.retry_after = retry_after


class BusUnavailable(StoreUnavailable):
    """The other service did not answer, or the bus cannot take the message."""

    def __init__(self, reason: str = "", retry_after: int = 1) -> None:
        """``reason`` says which: ``down``, ``overload``, ``deadline``."""
        super().__init__("bus", reason, retry_after)
