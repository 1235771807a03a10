"""Limits on failures (interface §3, abuse cases 14, 37, 56)."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from services.auth_api.rate_limit import (
    CLIENT_PEER,
    LONGEST_WAIT_MS,
    SIGN_IN_ACCOUNT,
    SIGN_IN_PEER,
    Limit,
    RateLimiter,
    Throttled,
)
from tests.harness.site import PASSWORD
from tests.integration.auth_api.conftest import Registry, RegistryStarter


class ChosenClock:
    """A clock that stands where the test puts it."""

    def __init__(self, now: int) -> None:
        """Begins at ``now``."""
        self.time = now

    def now(self) -> int:
        """Where it stands."""
        return self.time

    def monotonic(self) -> float:
        """The same in seconds."""
        return self.time / 1000


LIMIT = Limit("test", burst=3, interval_ms=1000)


def limiter_at(registry: Registry, clock: ChosenClock) -> RateLimiter:
    """One that goes by the chosen clock."""
    return RateLimiter(registry.resources.bus, clock, registry.resources.settings)


async def wait_for(registry: Registry, key: str, clock: ChosenClock) -> int:
    """Seconds until one more failure is let through; 0 where it is now."""
    try:
        await limiter_at(registry, clock).check(LIMIT, key)
    except Throttled as throttled:
        return throttled.retry_after
    return 0


async def test_a_burst_then_one_each_interval(start_registry: RegistryStarter) -> None:
    """Three failures at once, then one a second; what is refused does not count."""
    async with start_registry() as registry:
        clock = ChosenClock(registry.resources.clock.now())
        limiter = limiter_at(registry, clock)
        for _ in range(3):
            assert await wait_for(registry, "a", clock) == 0
            await limiter.note_failure(LIMIT, "a")
        for _ in range(5):
            assert await wait_for(registry, "a", clock) == 1
        assert await wait_for(registry, "b", clock) == 0
        clock.time += 1000
        assert await wait_for(registry, "a", clock) == 0
        await limiter.note_failure(LIMIT, "a")
        assert await wait_for(registry, "a", clock) == 1
        clock.time += 10_000
        assert await wait_for(registry, "a", clock) == 0


async def test_no_wait_is_longer_than_the_longest(start_registry: RegistryStarter) -> None:
    """A thousand failures at once are forgiven as soon as a hundred: a brake, never a lock."""
    async with start_registry() as registry:
        clock = ChosenClock(registry.resources.clock.now())
        limiter = limiter_at(registry, clock)
        await asyncio.gather(*(limiter.note_failure(LIMIT, "a") for _ in range(1000)))
        assert await wait_for(registry, "a", clock) <= LONGEST_WAIT_MS / 1000 + 1
        clock.time += LONGEST_WAIT_MS + 1000
        assert await wait_for(registry, "a", clock) == 0


async def test_taking_is_atomic(start_registry: RegistryStarter) -> None:
    """Of many at once exactly the burst gets through."""
    async with start_registry() as registry:
        clock = ChosenClock(registry.resources.clock.now())
        limiter = limiter_at(registry, clock)
        results = await asyncio.gather(*(limiter.take(LIMIT, "a") for _ in range(20)), return_exceptions=True)
        assert sum(result is None for result in results) == 3
        assert sum(isinstance(result, Throttled) for result in results) == 17


async def test_redis_holds_neither_names_nor_addresses(start_registry: RegistryStarter) -> None:
    """The keys of the limits are digests."""
    async with start_registry() as registry:
        await registry.site.http.post("/api/v1/session", json={"username": "Marked-name", "password": "x"})
        names = b" ".join(await registry.resources.bus.redis.execute("KEYS", "lk:throttle:*"))
    assert names
    assert b"arked" not in names
    assert b"127.0.0.1" not in names


class Burst:
    """What a limit lets through from now on: its burst, and one more for each interval that goes by."""

    def __init__(self, limit: Limit) -> None:
        """Begins to count the time."""
        self.limit = limit
        self.begun = time.monotonic()

    def was_all(self, statuses: list[int]) -> bool:
        """Whether 401 was answered as often as the limit lets through, and 429 to everything else."""
        passed = (time.monotonic() - self.begun) * 1000 // self.limit.interval_ms
        let_through = statuses.count(401)
        others = {status for status in statuses if status != 401}
        return others == {429} and self.limit.burst <= let_through <= self.limit.burst + passed


async def try_password(
    registry: Registry, username: str, password: str, peer: str = "198.51.100.1"
) -> httpx.Response:
    """A sign-in as the proxy hands it on from a peer."""
    return await registry.site.http.post(
        "/api/v1/session",
        json={"username": username, "password": password},
        headers={"X-Forwarded-For": peer},
    )


@pytest.mark.spec("RFC 9457", "3", "A limit is told as a problem too, with Retry-After")
async def test_ac_37_one_account_from_many_peers(start_registry: RegistryStarter) -> None:
    """Guessing one account is slowed whoever guesses, known name or not; its person gets in from where they have been."""
    async with start_registry(TRUSTED_PROXIES="1") as registry:
        await registry.site.sign_up("Victim")
        await try_password(registry, "Victim", PASSWORD, "203.0.113.7")
        for name in ("Victim", "Nobody-here"):
            burst = Burst(SIGN_IN_ACCOUNT)
            answers = [
                await try_password(registry, name, "wrong password", f"198.51.{number}.1")
                for number in range(20)
            ]
            statuses = [answer.status_code for answer in answers]
            assert burst.was_all(statuses)
            assert 0 < int(answers[-1].headers["Retry-After"]) <= SIGN_IN_ACCOUNT.interval_ms // 1000
            assert answers[-1].headers["Content-Type"].startswith("application/problem+json")
        stranger = await try_password(registry, "vICTIM", PASSWORD, "198.51.200.1")
        assert stranger.status_code == 429
        assert (await try_password(registry, "Victim", PASSWORD, "203.0.113.7")).status_code == 200


async def test_ac_37_a_familiar_peer_is_limited_too(start_registry: RegistryStarter) -> None:
    """Where somebody has signed in before, guesses are counted for that place alone."""
    async with start_registry() as registry:
        await registry.site.sign_up("Homebody")
        burst = Burst(SIGN_IN_ACCOUNT)
        statuses = [
            (await try_password(registry, "Homebody", "wrong password")).status_code for _ in range(15)
        ]
    assert burst.was_all(statuses)


async def test_ac_37_parallel_guesses_gain_nothing(start_registry: RegistryStarter) -> None:
    """Guesses at once are no more than as many in a row, and the wait after them no longer."""
    async with start_registry() as registry:
        await registry.site.sign_up("Rushed")
        burst = Burst(SIGN_IN_ACCOUNT)
        answers = await asyncio.gather(*(try_password(registry, "Rushed", "wrong") for _ in range(20)))
        assert burst.was_all([answer.status_code for answer in answers])
        waits = [int(answer.headers["Retry-After"]) for answer in answers if answer.status_code == 429]
        assert max(waits) <= SIGN_IN_ACCOUNT.interval_ms // 1000


async def test_ac_37_one_peer_on_many_accounts(start_registry: RegistryStarter) -> None:
    """One password on a hundred accounts is slowed by peer; another peer is not."""
    async with start_registry(TRUSTED_PROXIES="1") as registry:
        burst = Burst(SIGN_IN_PEER)
        statuses = [
            (await try_password(registry, f"account{number}", "wrong password")).status_code
            for number in range(40)
        ]
        assert burst.was_all(statuses)
        assert (await try_password(registry, "account99", "wrong", "198.51.100.2")).status_code == 401


async def test_ac_37_forged_forwarding_headers_gain_nothing(start_registry: RegistryStarter) -> None:
    """Without trusted proxies the socket's peer counts; with one, only what it wrote itself."""
    for proxies in ("0", "1"):
        async with start_registry(TRUSTED_PROXIES=proxies) as registry:
            burst = Burst(SIGN_IN_PEER)
            forged = [f"10.0.0.{number}, 198.51.100.1" for number in range(40)]
            statuses = [
                (await try_password(registry, f"account{number}", "wrong", peer)).status_code
                for number, peer in enumerate(forged)
            ]
            assert burst.was_all(statuses)


async def test_right_passwords_are_never_counted(start_registry: RegistryStarter) -> None:
    """Sixty sign-ins in a row are all 200."""
    async with start_registry() as registry:
        person = await registry.site.sign_up()
        statuses = {(await person.sign_in(person.username)).status_code for _ in range(60)}
    assert statuses == {200}


@pytest.mark.spec("RFC 6749", "2.3.1", "Guessing client secrets is limited")
async def test_ac_14_client_secrets_are_limited_by_client_and_peer(start_registry: RegistryStarter) -> None:
    """A peer that guesses is slowed; the client itself, elsewhere, is not locked out."""
    async with start_registry(TRUSTED_PROXIES="1") as registry:
        client = await (await registry.site.sign_up()).create_client()
        form = {"grant_type": "authorization_code", "code": "x"}

        async def attempt(secret: str, peer: str) -> httpx.Response:
            return await registry.site.http.post(
                "/api/v1/oauth/token",
                data=form,
                auth=(client.client_id, secret),
                headers={"X-Forwarded-For": peer},
            )

        burst = Burst(CLIENT_PEER)
        answers: list[httpx.Response] = []
        while not answers or answers[-1].status_code != 429:
            answers.append(await attempt("wrong", "198.51.100.1"))
        assert burst.was_all([answer.status_code for answer in answers])
        refused = answers[-1]
        assert "Retry-After" in refused.headers
        assert set(refused.json()) == {"error", "error_description"}
        elsewhere = await attempt(client.secret or "", "203.0.113.7")
        assert elsewhere.json()["error"] == "invalid_grant"


@pytest.mark.parametrize("username", ["Anybody"])
async def test_limits_can_be_turned_off(start_registry: RegistryStarter, username: str) -> None:
    """THROTTLE=off counts nothing."""
    async with start_registry(THROTTLE="off", SIGN_UP_LIMIT="1") as registry:
        for _ in range(3):
            await registry.site.sign_up()
        statuses = {(await try_password(registry, username, "wrong")).status_code for _ in range(40)}
    assert statuses == {401}
