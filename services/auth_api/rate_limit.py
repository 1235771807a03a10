"""Limits on failures: how often one may be wrong, counted in Redis, never locking anybody out for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.auth_api.codes.store import SLOT
from services.auth_api.resources import Resources
from shared.bus import Script
from shared.secret_tokens import keyed_digest
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

    def paid_off_by(self, resources: Resources) -> int:
        """When the failures of a requester must be paid off (Unix milliseconds), lest one more attempt be refused."""
        if not resources.settings.throttle:
            return _NEVER
        return resources.clock.now() + (self.burst - 1) * self.interval_ms


SIGN_IN_ACCOUNT: Final = Limit("sign-in-account", burst=10, interval_ms=15_000)
"""Wrong passwords for one username, known or not, from anywhere. Key: the username in lower case."""
SIGN_IN_PEER: Final = Limit("sign-in-peer", burst=30, interval_ms=5_000)
"""Wrong passwords from one peer, for whatever account. Key: the peer."""
CLIENT_PEER: Final = Limit("client-peer", burst=30, interval_ms=2_000, slot=SLOT)
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

    @classmethod
    def until(cls, limit: Limit, paid_off_on: int, now: int) -> Throttled:
        """``paid_off_on``: when all failures so far are paid off; all times in Unix milliseconds."""
        return cls(_seconds(paid_off_on - now - (limit.burst - 1) * limit.interval_ms))


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
    found = await resources.bus.redis.execute("GET", name_of(resources, limit, key))
    if found is not None and int(found) > limit.paid_off_by(resources):
        raise Throttled.until(limit, int(found), resources.clock.now())


async def note_failure(resources: Resources, limit: Limit, key: str) -> None:
    """Counts one failure of ``key``.

    Raises:
        StoreUnavailable: it was not counted; the caller must not tell that the attempt was wrong.
    """
    if not resources.settings.throttle:
        return
    most = limit.burst * limit.interval_ms + LONGEST_WAIT_MS
    await resources.bus.redis.run_script(
        _NOTE,
        keys=[name_of(resources, limit, key)],
        args=[resources.clock.now(), limit.interval_ms, most],
    )


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
        keys=[name_of(resources, limit, key)],
        args=[resources.clock.now(), limit.interval_ms, limit.burst],
    )
    if wait:
        raise Throttled(_seconds(int(wait)))


def name_of(resources: Resources, limit: Limit, key: str) -> str:
    """Where the failures of ``key`` are counted."""
    # Usernames and addresses stay out of Redis: a digest tells two of them apart as well.
    return (
        f"{limit.slot}:throttle:{limit.name}:{keyed_digest(resources.settings.secret, 'throttle', key)[:32]}"
    )


def _seconds(wait_ms: int) -> int:
    return max(1, -(-wait_ms // 1000))
