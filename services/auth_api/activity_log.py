"""The activity log: the last attempts of each client, redacted, with the exact cause, for its author.

What the client itself, a signed-in person and anybody else did is kept apart, so that none of them pushes out the others.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import suppress
from typing import Final, get_args

import orjson
import structlog

from shared.bus import Bus
from shared.clock import Clock
from shared.contracts.clients import Attempt, AttemptBy

MOST: Final = 100
KEPT_SECONDS: Final = 30 * 24 * 3600
FLUSH_SECONDS: Final = 1.0
MOST_CLIENTS: Final = 10_000
"""How many clients' attempts wait in the process at once; more are not recorded."""
LONGEST_CAUSE: Final = 300

_BY: Final[tuple[AttemptBy, ...]] = get_args(AttemptBy)

_Packable = tuple[int, str, str | None, str, str]
"""When, step, error, cause, request id."""

_log = structlog.get_logger("latchkey.activity")


class ActivityLog:
    """Collects attempts in the process and appends them to each client's lists in Redis, off the hot path.

    What is lost with a process or with Redis is a few lines of a log; nothing waits for them.
    """

    def __init__(self, bus: Bus, clock: Clock) -> None:
        """Nothing runs before ``run``."""
        self._bus = bus
        self._clock = clock
        self._waiting = _no_attempts()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()

    def note(
        self,
        client_id: str,
        step: str,
        cause: str,
        *,
        by: AttemptBy,
        request_id: str,
        error: str | None = None,
    ) -> None:
        """Notes one attempt of a registered client. ``error`` is the public code, ``None`` where all was well."""
        key = _key(client_id, by)
        if len(self._waiting) < MOST_CLIENTS or key in self._waiting:
            self._waiting[key].append((self._clock.now(), step, error, cause, request_id))
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
        waiting, self._waiting = self._waiting, _no_attempts()
        redis = self._bus.redis
        commands: list[tuple[str | bytes, ...]] = []
        for key, attempts in waiting.items():
            commands += [
                ("LPUSH", key, *map(_packed, attempts)),
                ("LTRIM", key, "0", str(MOST - 1)),
                ("EXPIRE", key, str(KEPT_SECONDS)),
            ]
        outcomes = await redis.execute_many(commands)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures:
            _log.info("attempts_dropped", reason=str(failures[0]))

    async def forget(self, client_id: str) -> None:
        """Removes the attempts of a client that was deleted. Raises ``StoreUnavailable``."""
        for by in _BY:
            self._waiting.pop(_key(client_id, by), None)
            await self._bus.redis.execute("DEL", _key(client_id, by))

    async def read(self, client_id: str) -> tuple[Attempt, ...]:
        """The attempts of a client by each of ``AttemptBy``, newest first, those of this process up to now included.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await self.flush()
        lists = await self._bus.redis.execute_many(
            [("LRANGE", _key(client_id, by), "0", str(MOST - 1)) for by in _BY]
        )
        return tuple(_unpacked(raw, by) for by, found in zip(_BY, lists, strict=True) for raw in found)


def _no_attempts() -> defaultdict[str, deque[_Packable]]:
    return defaultdict(lambda: deque(maxlen=MOST))


def _key(client_id: str, by: AttemptBy) -> str:
    return f"lk:attempts:{by}:{client_id}"


def _packed(attempt: _Packable) -> bytes:
    on, step, error, cause, request_id = attempt
    return orjson.dumps([on, step, error, cause[:LONGEST_CAUSE], request_id])


def _unpacked(raw: bytes, by: AttemptBy) -> Attempt:
    on, step, error, cause, request_id = orjson.loads(raw)
    return Attempt(
        on=on,
        step=step,
        result="ok" if error is None else "refused",
        error=error,
        cause=cause,
        request_id=request_id,
        by=by,
    )
