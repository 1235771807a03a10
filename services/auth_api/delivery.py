"""Confirming that keys reached their holder: collected in the process, asked in batches, off the hot path."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from shared.bus import Bus, RemoteFailure
from shared.contracts.keys import ConfirmDelivery
from shared.errors import StoreUnavailable

BATCH: Final = 256
BATCH_SECONDS: Final = 0.005
ANSWER_SECONDS: Final = 1.0
"""Longer than key_issuer takes; past that the confirmation may have been lost with a Redis that was killed."""
RETRY_SECONDS: Final = 0.2
"""Soon: until somebody else knows that a key was delivered, the key lives no longer than this process."""
MOST_WAITING: Final = 50_000
"""What is kept while the bus is down; keys beyond it stay pending until their first use."""

_log = structlog.get_logger("latchkey.delivery")


class Deliveries:
    """The ids of keys whose answer has left this process and that key_issuer does not know to be delivered yet."""

    def __init__(self, bus: Bus) -> None:
        """Nothing runs before ``run``."""
        self._bus = bus
        self._key_ids: list[str] = []
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._postponed = False

    def delivered(self, key_id: str) -> None:
        """Notes that the answer with this key was written to its requester."""
        self._key_ids.append(key_id)
        if not self._wake.is_set():
            self._wake.set()

    async def run(self) -> None:
        """Confirms what was noted, a few ms later, until ``stop``; then leaves to the stream what is left."""
        while not self._stop.is_set():
            await self._wake.wait()
            if len(self._key_ids) < BATCH:
                await self._pause(BATCH_SECONDS)
            self._wake.clear()
            if not await self.flush():
                await self._pause(RETRY_SECONDS)
                self._wake.set()
        await self._leave_to_the_stream()

    def stop(self) -> None:
        """Lets ``run`` end after its last words."""
        self._stop.set()
        self._wake.set()

    async def flush(self) -> bool:
        """Has everything confirmed that waits; whether nothing is left. What has no answer yet is kept.

        The answer is waited for: a Redis that is killed forgets its last second, and the key would die of that.
        """
        while self._key_ids:
            batch, self._key_ids = self._key_ids[:BATCH], self._key_ids[BATCH:]
            try:
                await self._bus.request(ConfirmDelivery(key_ids=tuple(batch)), ANSWER_SECONDS)
            except RemoteFailure as failure:
                _log.error("confirm_failed", keys=len(batch), reason=str(failure))
            except StoreUnavailable as error:
                self._keep(batch, error)
                return False
            except asyncio.CancelledError:
                self._key_ids = batch + self._key_ids
                raise
        self._postponed = False
        return True

    async def _leave_to_the_stream(self) -> None:
        """This process ends: key_issuer reads it there, whenever that is."""
        while self._key_ids:
            batch, self._key_ids = self._key_ids[:BATCH], self._key_ids[BATCH:]
            try:
                await self._bus.send(ConfirmDelivery(key_ids=tuple(batch)))
            except StoreUnavailable as error:
                self._keep(batch, error)
                return

    def _keep(self, batch: list[str], error: StoreUnavailable) -> None:
        self._key_ids = (batch + self._key_ids)[:MOST_WAITING]
        if not self._postponed:  # once for each outage
            _log.warning("confirm_postponed", waiting=len(self._key_ids), reason=str(error))
        self._postponed = True

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
