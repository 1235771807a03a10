"""Limits on failures, and on what strangers make us keep, counted in Redis; a brake and never a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.auth_api.codes.store import SLOT
from shared.bus import Bus, Script
from shared.clock import Clock
from shared.secret_tokens import keyed_digest, peer_digest
from shared.settings import Settings
from shared.web.failures import Problem

_NEVER: Final = 2**53
LONGEST_WAIT_MS: Final = 60_000
"""What a burst of parallel failures can add up to at most: a limit is a brake, not a lock."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``burst`` failures at once, then one more each ``interval_ms`` (the generic cell rate algorithm)."""

    name: str
    burst: int
    interval_ms: int
    slot: str = "lk"
    """What its keys in Redis begin with; a script that looks at one needs it in the slot of its other keys."""


SIGN_IN_ACCOUNT: Final = Limit("sign-in-account", burst=10, interval_ms=15_000)
"""Wrong passwords for one username, known or not, from anywhere. Key: the username in lower case."""
SIGN_IN_PEER: Final = Limit("sign-in-peer", burst=30, interval_ms=5_000)
"""Wrong passwords from one peer, for whatever account. Key: the peer."""
CLIENT_PEER: Final = Limit("client-peer", burst=30, interval_ms=2_000, slot=SLOT)
"""Wrong client secrets and codes. Key: client id and peer together, so that a client cannot be locked out from elsewhere."""
SERVICE_PEER: Final = Limit("service-peer", burst=30, interval_ms=2_000)
"""Service keys that are not live, each of which asks key_issuer. Key: the peer."""
USER_CODE: Final = Limit("user-code", burst=10, interval_ms=30_000)
"""Wrong device user codes. Key: person and peer together."""
KEPT_PEER: Final = Limit("kept-peer", burst=600, interval_ms=250)
"""What one peer makes us keep without signing in, each at most 4 KiB for half an hour: pushed requests and device codes.
Enough for everybody behind one address, and for the server of a busy app. Key: the peer."""
KEPT_CLIENT: Final = Limit("kept-client", burst=3_000, interval_ms=50)
"""The same for one client from anywhere; five times as much, so that no single peer can use it up. Key: what is kept and
client id together."""

KEPT_PERSON: Final = Limit("kept-person", burst=300, interval_ms=1_000)
"""What one signed-in person makes us keep, each at most 4 KiB for half an hour: consent pages, codes, new and resumed keys.
Key: the person."""
KEPT_PEOPLE: Final = Limit("kept-people", burst=1_500, interval_ms=100)
"""The same for all people at one peer, however many accounts they have; apart from what strangers there use up. Key: the
digest of the peer."""


class Throttled(Problem):
    """Too many failures; ``retry_after`` is in whole seconds."""

    def __init__(self, wait_ms: int) -> None:
        """429 with ``Retry-After``, in the endpoint's own error shape."""
        retry_after = max(1, -(-wait_ms // 1000))
        super().__init__(
            429,
            f"Too many attempts; try again in {retry_after} seconds.",
            headers={"Retry-After": str(retry_after)},
        )
        self.retry_after = retry_after


# The key holds the time (ms) at which all failures so far are paid off; it lives no longer than that.
_NOTE: Final = Script(
    "throttle_note",
    """
    local now, interval, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local paid_on = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
    paid_on = math.min(paid_on + interval, now + most)
    redis.call('SET', KEYS[1], string.format('%.0f', paid_on), 'PX', paid_on - now)
    return paid_on - now
    """,
)
_TAKE: Final = Script(
    "throttle_take",
    """
    local now, interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local paid_on = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
    local wait = paid_on - now - (burst - 1) * interval
    if wait > 0 then
        return math.ceil(wait)
    end
    paid_on = paid_on + interval
    redis.call('SET', KEYS[1], string.format('%.0f', paid_on), 'PX', math.ceil(paid_on - now))
    return 0
    """,
)


class RateLimiter:
    """Counts failures in Redis, by a digest of who made them; with ``LATCHKEY_THROTTLE=off`` it lets everything pass.

    Every method raises ``StoreUnavailable`` where Redis does not answer. The caller must then not go on (fail closed),
    nor say that an attempt was wrong which was not counted.
    """

    def __init__(self, bus: Bus, clock: Clock, settings: Settings) -> None:
        """``bus.redis`` keeps the counts."""
        self._bus = bus
        self._clock = clock
        self._settings = settings

    async def check(self, limit: Limit, key: str) -> None:
        """Raises ``Throttled`` where ``key`` has failed too often."""
        if self._settings.throttle:
            found = await self._bus.redis.execute("GET", self.key_of(limit, key))
            if found is not None and int(found) > self.paid_off_by(limit):
                raise self.throttled(limit, int(found))

    async def note_failure(self, limit: Limit, key: str) -> None:
        """Counts one failure of ``key``."""
        if self._settings.throttle:
            most = limit.burst * limit.interval_ms + LONGEST_WAIT_MS
            await self._bus.redis.run_script(
                _NOTE, keys=[self.key_of(limit, key)], args=[self._clock.now(), limit.interval_ms, most]
            )

    async def take(self, limit: Limit, key: str) -> None:
        """Counts one use of ``key``, successful or not; raises ``Throttled`` where there is none left."""
        await self._take(limit, self.key_of(limit, key))

    async def _take(self, limit: Limit, name: str) -> None:
        if self._settings.throttle:
            wait = await self._bus.redis.run_script(
                _TAKE,
                keys=[name],
                args=[self._clock.now(), limit.interval_ms, limit.burst],
            )
            if wait:
                raise Throttled(int(wait))

    async def take_keeping(self, kind: str, client_id: str, peer: str) -> None:
        """Counts one thing of a ``kind`` that is about to be kept for somebody who is not signed in; raises as ``take``."""
        await self.take(KEPT_PEER, peer)
        await self.take(KEPT_CLIENT, f"{kind} {client_id}")

    def people_at(self, address: str) -> str:
        """Where it is counted what people at a peer make us keep."""
        return self.people_behind(peer_digest(self._settings.secret, address))

    def people_behind(self, digest: str) -> str:
        """The same for a peer whose address is not known here, only its ``peer_digest``."""
        return self.key_of(KEPT_PEOPLE, digest)

    async def take_of_person(self, user_id: int, counted_at: str = "") -> None:
        """Counts one thing that is about to be kept for a signed-in person, also at their peer; raises as ``take``.

        ``counted_at`` is ``people_at`` their peer; empty where that is not known.
        """
        await self.take(KEPT_PERSON, str(user_id))  # first: who is refused here uses up nothing of the others
        if counted_at:
            await self._take(KEPT_PEOPLE, counted_at)

    def key_of(self, limit: Limit, key: str) -> str:
        """Where the failures of ``key`` are counted."""
        # Usernames and addresses stay out of Redis: a digest keeps them apart as well.
        return (
            f"{limit.slot}:throttle:{limit.name}:{keyed_digest(self._settings.secret, 'throttle', key)[:32]}"
        )

    def paid_off_by(self, limit: Limit) -> int:
        """When the failures of a requester must be paid off (Unix milliseconds), lest one more attempt be refused."""
        return (
            self._clock.now() + (limit.burst - 1) * limit.interval_ms if self._settings.throttle else _NEVER
        )

    def throttled(self, limit: Limit, paid_off_on: int) -> Throttled:
        """The refusal of a requester whose failures so far are paid off at ``paid_off_on`` (Unix milliseconds)."""
        return Throttled(paid_off_on - self.paid_off_by(limit))
