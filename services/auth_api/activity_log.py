"""The activity log: the last attempts of each client, redacted, with the exact cause, for its author."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import suppress
from typing import Final

import orjson
import structlog

from shared.bus import Bus
from shared.clock import Clock
from shared.contracts.clients import Attempt

MOST: Final = 100
KEPT_SECONDS: Final = 30 * 24 * 3600
FLUSH_SECONDS: Final = 1.0
MOST_CLIENTS: Final = 10_000
"""How many clients' attempts wait in the process at once; more are not recorded."""
LONGEST_CAUSE: Final = 300

_log = structlog.get_logger("latchkey.activity")


class ActivityLog:
    """Collects attempts in the process and appends them to each client's list in Redis, off the hot path.

    What is lost with a process or with Redis is a few lines of a log; nothing waits for them.
    """

    def __init__(self, bus: Bus, clock: Clock) -> None:
        """Nothing runs before ``run``."""
        self._bus = bus
        self._clock = clock
        self._waiting: defaultdict[str, deque[tuple[int, str, str | None, str, str]]] = defaultdict(
            lambda: deque(maxlen=MOST)
        )
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()

    def note(
        self, client_id: str, step: str, cause: str, *, request_id: str, error: str | None = None
    ) -> None:
        """Notes one attempt of a registered client. ``error`` is the public code, ``None`` where all was well."""
        if len(self._waiting) < MOST_CLIENTS or client_id in self._waiting:
            self._waiting[client_id].append((self._clock.now(), step, error, cause, request_id))
            if not self._wake.is_set():
                self._wake.set()

    async def run(self) -> None:
        """Writes what was noted, at most a second later, until ``stop``."""
        while not self._stop.is_set():
            await self._wake.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), FLUSH_SECONDS)
            self._wake.clear()
            await self.flush()

    def stop(self) -> None:
        """Lets ``run`` end after a last flush."""
        self._stop.set()
        self._wake.set()

    async def flush(self) -> None:
        """Writes what was noted so far; what cannot be written is dropped."""
        waiting, self._waiting = self._waiting, defaultdict(lambda: deque(maxlen=MOST))
        redis = self._bus.redis
        commands: list[tuple[str | bytes, ...]] = []
        for client_id, attempts in waiting.items():
            key = _key(client_id)
            commands += [
                ("LPUSH", key, *map(_packed, attempts)),
                ("LTRIM", key, "0", str(MOST - 1)),
                ("EXPIRE", key, str(KEPT_SECONDS)),
            ]
        outcomes = await redis.execute_many(commands)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures:
            _log.info("attempts_dropped", reason=str(failures[0]))

    async def read(self, client_id: str) -> tuple[Attempt, ...]:
        """The attempts of a client, newest first, those of this process up to now included.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await self.flush()
        found: list[bytes] = await self._bus.redis.execute("LRANGE", _key(client_id), "0", str(MOST - 1))
        return tuple(map(_unpacked, found))


def _key(client_id: str) -> str:
    return f"lk:attempts:{client_id}"


def _packed(attempt: tuple[int, str, str | None, str, str]) -> bytes:
    on, step, error, cause, request_id = attempt
    return orjson.dumps([on, step, error, cause[:LONGEST_CAUSE], request_id])


def _unpacked(raw: bytes) -> Attempt:
    on, step, error, cause, request_id = orjson.loads(raw)
    return Attempt(
        on=on,
        step=step,
        result="ok" if error is None else "refused",
        error=error,
        cause=cause,
        request_id=request_id,
    )
