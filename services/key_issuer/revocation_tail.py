"""Hears every revocation that any process has committed, and knows when it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from services.key_issuer.listeners import Listeners
from services.key_issuer.revocation_journal import MOST_ENTRIES, Heard
from services.key_issuer.verification import STALE_AFTER_SECONDS, IssuerMetrics, KeyCache
from shared.bus import BroadcastEntry, Bus, StreamTail
from shared.clock import Clock
from shared.contracts.events import KeysInvalidated
from shared.errors import StoreUnavailable


class RevocationTail:
    """Passes what the broadcast says on to the memory of this verifier, and to those who listen at it."""

    def __init__(
        self, bus: Bus, clock: Clock, cache: KeyCache, listeners: Listeners, counts: IssuerMetrics
    ) -> None:
        """Nothing is read before ``run``."""
        self._clock = clock
        self._cache = cache
        self._listeners = listeners
        self._counts = counts
        self.run = StreamTail(bus, KeysInvalidated, self._heard, self._missed, MOST_ENTRIES).run

    async def check(self) -> None:
        """For ``/readyz``: raises ``StoreUnavailable`` while this verifier is deaf."""
        if self._cache.deaf:
            raise StoreUnavailable(
                "revocations", f"neither a revocation nor a heartbeat for {STALE_AFTER_SECONDS:.0f} s"
            )

    async def _heard(self, entry: BroadcastEntry[KeysInvalidated]) -> None:
        """Keys were narrowed somewhere: refuse them from now on. A heartbeat names none."""
        event = entry.event
        if self._cache.deaf:
            self._listeners.end_all("deaf")  # also where this process was stopped, and had no time to notice
        self._cache.hear(event.key_ids)
        self._listeners.hear(Heard.of(entry))
        if event.key_ids:
            self._counts.revocation_seconds.observe(max(0, self._clock.now() - event.on) / 1000)

    async def _missed(self, past: Sequence[BroadcastEntry[KeysInvalidated]]) -> None:
        """Revocations may have been missed."""
        self._cache.distrust()
        self._listeners.miss(map(Heard.of, past))
        self._counts.gaps.inc()
