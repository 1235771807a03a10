"""Limits on failures: how often one may be wrong, counted in Redis, never locking anybody out for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.auth_api.resources import Resources
from shared.bus import Script
from shared.secret_tokens import keyed_digest
from shared.web.failures import Problem

LONGEST_WAIT_MS: Final = 60_000
"""What a burst of parallel failures can add up to at most: a limit is a brake, not a lock."""
MOST_TRUSTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """``burst`` failures at once, then one more each ``interval_ms`` (the generic cell rate algorithm)."""

    name: str
    burst: int
    interval_ms: int
    trusted_seconds: float = 0.0
    """How long a key that had no failure is taken to have none, unless this process counts one: a busy key is not looked
    up for each request. For what nobody can guess; another replica's failures count here so much later."""


SIGN_IN_ACCOUNT: Final = Limit("sign-in-account", burst=10, interval_ms=15_000)
"""Wrong passwords for one username, known or not, from anywhere. Key: the username in lower case."""
SIGN_IN_PEER: Final = Limit("sign-in-peer", burst=30, interval_ms=5_000)
"""Wrong passwords from one peer, for whatever account. Key: the peer."""
CLIENT_PEER: Final = Limit("client-peer", burst=30, interval_ms=2_000, trusted_seconds=0.25)
"""Wrong client secrets and codes. Key: client id and peer together, so that nobody can lock a client out."""
USER_CODE: Final = Limit("user-code", burst=10, interval_ms=30_000)
"""Wrong device user codes. Key: person and peer together."""


class Throttled(Problem):
    """Too many failures; ``retry_after`` is in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        """429 with ``Retry-After``, told in the endpoint's own error shape."""
        super().__init__(
            429,
            f"Too many attempts; try again in {retry_after} seconds.",
            headers={"Retry-After": str(retry_after)},
        )
        self.retry_after = retry_after


class Untroubled:
    """The keys that had no failure when they were looked up, a moment ago."""

    def __init__(self) -> None:
        """None is known."""
        self._until: dict[tuple[str, str], float] = {}

    def trusts(self, limit: Limit, key: str, now: float) -> bool:
        """Whether a key need not be looked up; ``now`` on the monotonic clock."""
        return now < self._until.get((limit.name, key), 0.0)

    def add(self, limit: Limit, key: str, now: float) -> None:
        """Its look-up, begun at ``now``, found no failure."""
        if limit.trusted_seconds:
            if len(self._until) >= MOST_TRUSTED:
                self._until.clear()
            self._until[limit.name, key] = now + limit.trusted_seconds

    def discard(self, limit: Limit, key: str) -> None:
        """It has one now."""
        self._until.pop((limit.name, key), None)


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


async def check(resources: Resources, limit: Limit, key: str) -> None:
    """Refuses to go on where ``key`` has failed too often.

    Raises:
        Throttled: with the time until one more attempt counts.
        StoreUnavailable: Redis cannot say; the caller must not go on (fail closed).
    """
    if not resources.settings.throttle:
        return
    now = resources.clock.monotonic()
    if resources.untroubled.trusts(limit, key, now):
        return
    found = await resources.bus.redis.execute("GET", _name(resources, limit, key))
    if found is None:
        resources.untroubled.add(limit, key, now)
        return
    wait = int(found) - resources.clock.now() - (limit.burst - 1) * limit.interval_ms
    if wait > 0:
        raise Throttled(_seconds(wait))


async def note_failure(resources: Resources, limit: Limit, key: str) -> None:
    """Counts one failure of ``key``.

    Raises:
        StoreUnavailable: it was not counted; the caller must not tell that the attempt was wrong.
    """
    if not resources.settings.throttle:
        return
    most = limit.burst * limit.interval_ms + LONGEST_WAIT_MS
    try:
        await resources.bus.redis.run_script(
            _NOTE,
            keys=[_name(resources, limit, key)],
            args=[resources.clock.now(), limit.interval_ms, most],
        )
    finally:  # not before: a look-up that was under way would have it trusted again
        resources.untroubled.discard(limit, key)


async def take(resources: Resources, limit: Limit, key: str) -> None:
    """Counts one use of ``key``, successful or not, if there is one left: for sign-ups.

    Raises:
        Throttled: there is none left.
        StoreUnavailable: Redis cannot say.
    """
    if not resources.settings.throttle:
        return
    wait = await resources.bus.redis.run_script(
        _TAKE,
        keys=[_name(resources, limit, key)],
        args=[resources.clock.now(), limit.interval_ms, limit.burst],
    )
    if wait:
        raise Throttled(_seconds(int(wait)))


def _name(resources: Resources, limit: Limit, key: str) -> str:
    # Usernames and addresses stay out of Redis: a digest tells two of them apart as well.
    return f"lk:throttle:{limit.name}:{keyed_digest(resources.settings.secret, 'throttle', key)[:32]}"


def _seconds(wait_ms: int) -> int:
    return max(1, -(-wait_ms // 1000))
