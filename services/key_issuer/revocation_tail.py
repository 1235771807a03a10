"""Hears every revocation that any process has committed, and knows when it cannot."""

from __future__ import annotations

from services.key_issuer.verification import STALE_AFTER_SECONDS, IssuerMetrics, KeyCache
from shared.bus import Bus, StreamTail
from shared.clock import Clock
from shared.contracts.events import KeysInvalidated
from shared.errors import StoreUnavailable


class RevocationTail:
    """Passes what the broadcast says on to the memory of this verifier."""

    def __init__(self, bus: Bus, clock: Clock, cache: KeyCache, counts: IssuerMetrics) -> None:
        """Nothing is read before ``run``."""
        self._clock = clock
        self._cache = cache
        self._counts = counts
        self.run = StreamTail(bus, KeysInvalidated, self._heard, self._missed).run

    async def check(self) -> None:
        """For ``/readyz``: raises ``StoreUnavailable`` while this verifier is deaf."""
        if self._cache.deaf:
            raise StoreUnavailable(
                "revocations", f"neither a revocation nor a heartbeat for {STALE_AFTER_SECONDS:.0f} s"
            )

    async def _heard(self, event: KeysInvalidated) -> None:
        """Keys were narrowed somewhere: refuse them from now on. A heartbeat names none."""
        self._cache.hear(event.key_ids)
        if event.key_ids:
            self._counts.revocation_seconds.observe(max(0, self._clock.now() - event.on) / 1000)

    async def _missed(self) -> None:
        """Revocations may have been missed."""
        self._cache.distrust()
        self._counts.gaps.inc()
