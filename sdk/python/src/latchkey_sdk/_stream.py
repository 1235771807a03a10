"""Hears of revocations as they happen: one connection to ``GET /api/v1/revocations``, kept for as long as it speaks.

What is heard is worth nothing if it is old. Three things make it so, and each is bounded:

- Something on the way holds events back. A connection is believed only if it speaks within 2.2 seconds of being
  opened, and no longer than it goes on without three seconds of silence: what comes after such a silence may have
  waited somewhere. Then a new connection is opened, which begins where this one ended.
- This process was stopped, or its loop was busy, while events waited in the socket. An event counts as produced no
  later than the third last turn of a small clock in the same loop: before that one, the loop had looked and found
  nothing.
- The machine slept. The clock counts that.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from typing import Any, Final

from aiohttp import ClientError, ClientResponse, ClientSession

from latchkey_sdk._clock import Clock
from latchkey_sdk._events import BadStreamError, EventParser, ServerEvent
from latchkey_sdk._memory import ALIVE_SECONDS, KeyMemory
from latchkey_sdk._service import Complaints, Service

FIRST_EVENT_SECONDS: Final = 2.2
"""How long a new connection may take to say something; so late may everything be that comes over it."""
TICK_SECONDS: Final = 0.2
_LIVE_AFTER_SECONDS: Final = 1.0
"""What was missed is told at once; what comes so much later is new."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 10.0
_REFUSED_PAUSE: Final = 15.0


class StreamLostError(Exception):
    """The connection is of no more use. ``pause``: seconds to wait at least before the next one."""

    def __init__(self, pause: float = 0.0) -> None:
        """Without a pause of its own, the next attempt waits as long as the number of failures says."""
        super().__init__()
        self.pause = pause


class RevocationStream:
    """Tells a ``KeyMemory`` what to forget, and until when it may believe the rest."""

    def __init__(self, service: Service, memory: KeyMemory, clock: Clock) -> None:
        """Nothing is heard before ``run``."""
        self._service = service
        self._memory = memory
        self._clock = clock
        self._complaints = Complaints()
        self._ticks: deque[float] = deque(maxlen=3)
        self._place: str | None = None
        self._failures = 0

    async def run(self) -> None:
        """Listens until it is cancelled, over one connection after the other."""
        ticking = asyncio.ensure_future(self._tick())
        try:
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
            async with self._service.open_session(None, headers) as http:
                while True:
                    await asyncio.sleep(await self._listen_once(http))
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        while True:
            self._ticks.append(self._clock())
            await asyncio.sleep(TICK_SECONDS)

    async def _listen_once(self, http: ClientSession) -> float:
        """Hears one connection out; how long to wait before the next."""
        pause = 0.0
        try:
            await self._listen(http)
        except StreamLostError as lost:
            pause = lost.pause
        except (ClientError, BadStreamError, OSError):  # a TimeoutError is an OSError
            pass
        except Exception:  # noqa: BLE001 - whatever it is, the next connection may do better
            self._complaints.tell("Listening for revocations failed in a way nobody thought of.", trace=True)
        longest = min(_FIRST_PAUSE * (1 << min(self._failures, 10)), _LONGEST_PAUSE)
        self._failures += 1
        # So that listeners that lost one server do not come back in one moment.
        return pause + longest * random.uniform(0.2, 1.0)  # noqa: S311 - it guards nothing

    async def _listen(self, http: ClientSession) -> None:
        opened_at = self._clock()
        headers = {} if self._place is None else {"Last-Event-ID": self._place}
        url = f"{self._service.url}/api/v1/revocations"
        async with asyncio.timeout(FIRST_EVENT_SECONDS) as limit:
            async with http.get(url, headers=headers, allow_redirects=False) as answer:
                self._look_at(answer)
                connection = _Connection(opened_at, resumed=self._place is not None)
                parser = EventParser()
                async for piece in answer.content.iter_any():
                    for event in parser.feed(piece):
                        self._take(event, connection)
                    limit.reschedule(
                        asyncio.get_running_loop().time() + connection.seconds_left(self._clock())
                    )

    def _look_at(self, answer: ClientResponse) -> None:
        """Raises ``StreamLostError`` for everything but a stream."""
        status = answer.status
        if status in (401, 403):
            self._memory.go_deaf()
            self._complaints.tell(
                "Latchkey refuses this application's service key at /api/v1/revocations"
                f" (HTTP {status}): it must be live and have the permission introspect."
            )
            raise StreamLostError(_REFUSED_PAUSE)
        if status in (429, 503):
            raise StreamLostError(min(retry_after_of(answer) or 0, _LONGEST_PAUSE))
        if status != 200 or answer.content_type != "text/event-stream":  # noqa: PLR2004
            self._complaints.tell(
                f"There is no stream of revocations at {self._service.url}: GET /api/v1/revocations answers {status}"
                f" {answer.content_type}. Keys are checked all the same, but remembered for 2 s only."
            )
            raise StreamLostError(_REFUSED_PAUSE)

    def _take(self, event: ServerEvent, connection: _Connection) -> None:
        now = self._clock()
        if connection.seconds_left(now) <= 0:
            raise StreamLostError
        if event.name not in ("invalidate", "reset", "heartbeat"):
            return
        first = not connection.speaks
        connection.heard(now)
        if event.name == "reset" or (first and not connection.resumed):
            self._memory.forget_all()
        if event.name == "invalidate":
            self._invalidate(event.data)
        self._place = event.place
        if event.name != "invalidate" or connection.is_up_to_date(now):
            connection.up_to_date = True
            self._memory.hear(max(connection.opened_at, self._ticks[0] if len(self._ticks) == 3 else 0.0))  # noqa: PLR2004
            self._failures = 0
            self._complaints.settle()

    def _invalidate(self, data: str) -> None:
        key_ids = _key_ids(data)
        if key_ids is None:
            self._memory.forget_all()
        else:
            self._memory.forget(key_ids)


class _Connection:
    """How far one connection may be believed."""

    def __init__(self, opened_at: float, *, resumed: bool) -> None:
        self.opened_at = opened_at
        """Everything that arrives over it was said after this."""
        self.resumed = resumed
        """It begins after the last event of an earlier one."""
        self.speaks = False
        self.up_to_date = False
        """What was missed has been told."""
        self._spoke_at = opened_at
        self._first_spoke_at = opened_at

    def seconds_left(self, now: float) -> float:
        """Until its silence has lasted too long."""
        return self._spoke_at + (ALIVE_SECONDS if self.speaks else FIRST_EVENT_SECONDS) - now

    def heard(self, now: float) -> None:
        """An event came."""
        self._spoke_at = now
        if not self.speaks:
            self.speaks, self._first_spoke_at = True, now

    def is_up_to_date(self, now: float) -> bool:
        """Whether an invalidation is news, and not one of those that were missed, of which more may follow."""
        return self.up_to_date or now - self._first_spoke_at >= _LIVE_AFTER_SECONDS


def retry_after_of(answer: ClientResponse) -> int | None:
    """The seconds that ``Retry-After`` asks for, if it does so in seconds."""
    value = answer.headers.get("Retry-After", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else None  # noqa: PLR2004


def _key_ids(data: str) -> list[str] | None:
    """What ``{"keyIDs": […]}`` names; ``None`` for anything else."""
    try:
        document: Any = json.loads(data)
        key_ids = document["keyIDs"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(key_ids, list) or not all(isinstance(each, str) for each in key_ids):
        return None
    return key_ids
