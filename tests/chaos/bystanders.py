"""Everybody else while a hostile client rages: checks of good keys, sign-ins, revocations; and the verdict on them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from tests.chaos.wire import Wire, http_request, json_request
from tests.harness.processes import RunningServices, is_well

PEER: Final = "127.0.0.2"
"""None of them comes from where the hostile client sits."""
SIGN_IN_PEERS: Final = ("127.0.0.3", "127.0.0.4", "127.0.0.5")
WIRES: Final = 8
"""Enough that every worker has some of them."""
RECOVERY_SECONDS: Final = 10.0
DEAD_SECONDS: Final = 5.0
"""How long it is looked whether a revoked key is refused."""
_CHECK_PAUSE: Final = 0.1
_SIGN_IN_PAUSE: Final = 0.5
_REVOCATION_PAUSE: Final = 1.0
_LOST: Final = 0
_PATIENCE_SECONDS: Final = 30.0

Answer = tuple[int, float]
"""Status, 0 where the connection broke or nothing came; seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a hostile client must not reach."""

    check_seconds: float
    """The 99th percentile of the checks of good keys."""
    answer_seconds: float
    """The slowest sign-in of anybody else, and the slowest revocation."""
    refused: float
    """The part of the sign-ins that may go wrong. Of the checks and the revocations none may."""
    dead_seconds: float
    """From a revocation's answer to the refusal by the verifier asked; promise 3."""
    redis_bytes: int
    """How much more Redis holds at its worst."""


@dataclass(frozen=True, slots=True)
class Belongings:
    """What the bystanders have."""

    origin: str
    keys: Sequence[str]
    """Good ones, which stay good."""
    password: str
    usernames: Sequence[str]
    cookie: str
    """Of the person whose keys are revoked."""
    spare_keys: Iterator[tuple[str, str]]
    """Id and key, each to be revoked once."""


@dataclass(slots=True)
class Sightings:
    """What they met during one attack."""

    checks: list[Answer] = field(default_factory=list)
    sign_ins: list[Answer] = field(default_factory=list)
    revocations: list[Answer] = field(default_factory=list)
    deaths: list[float] = field(default_factory=list)
    """Seconds from a revocation's answer to the key's refusal."""
    redis_before: int = 0
    redis_most: int = 0
    restarted: list[str] = field(default_factory=list)
    """Services that lost a worker or did not recover by themselves."""
    bugs: list[str] = field(default_factory=list)

    def broken(self, limits: Limits) -> list[str]:
        """Every limit that was passed, in words."""
        found = [
            f"{what}: {_told(answers)}"
            for what, answers, good, refused in (
                ("checks of a good key", self.checks, 200, 0),
                ("sign-ins of others", self.sign_ins, 200, limits.refused),
                ("revocations", self.revocations, 204, 0),
            )
            if not answers or sum(status != good for status, _ in answers) > refused * len(answers)
        ]
        if percentile(self.checks, 0.99) >= limits.check_seconds:
            found.append(f"checks took {1000 * percentile(self.checks, 0.99):.1f} ms (p99)")
        for what, answers in (("a sign-in", self.sign_ins), ("a revocation", self.revocations)):
            if percentile(answers, 1) >= limits.answer_seconds:
                found.append(f"{what} took {percentile(answers, 1):.2f} s")
        if max(self.deaths, default=0.0) >= limits.dead_seconds:
            found.append(f"a revoked key lived {max(self.deaths):.2f} s")
        if self.redis_growth >= limits.redis_bytes:
            found.append(f"Redis grew by {self.redis_growth / 1e6:.1f} MB")
        return found + [f"{name} had to be restarted" for name in self.restarted] + self.bugs

    @property
    def redis_growth(self) -> int:
        """In bytes, at its worst."""
        return self.redis_most - self.redis_before

    def __str__(self) -> str:
        """One line for the report."""
        checks = [1000 * percentile(self.checks, part) for part in (0.5, 0.99, 1)]
        return (
            f"checks p50 {checks[0]:.1f} p99 {checks[1]:.1f} max {checks[2]:.0f} ms ({_told(self.checks)}); "
            f"sign-ins p50 {percentile(self.sign_ins, 0.5):.2f} max {percentile(self.sign_ins, 1):.2f} s "
            f"({_told(self.sign_ins)}); revocations max {percentile(self.revocations, 1):.2f} s "
            f"({_told(self.revocations)}), dead after {max(self.deaths, default=0.0):.2f} s; "
            f"Redis {self.redis_growth / 1e6:+.1f} MB"
        )


class Bystanders:
    """People and programs that go on as ever."""

    def __init__(self, services: RunningServices, belongings: Belongings) -> None:
        """Nothing is sent yet."""
        self._services = services
        self._belongings = belongings
        self._over = asyncio.Event()

    async def watch(self, seconds: float) -> Sightings:
        """What they meet in so many seconds; whatever is under way then is waited for."""
        sightings = Sightings()
        before = self._workers()
        self._over.clear()
        asyncio.get_running_loop().call_later(seconds, self._over.set)
        async with asyncio.TaskGroup() as group:
            for number in range(WIRES):
                group.create_task(self._check(number, sightings))
            group.create_task(self._sign_in(sightings))
            group.create_task(self._revoke(sightings))
            group.create_task(self._weigh(sightings))
        await self._recovered(before, sightings)
        return sightings

    async def _check(self, number: int, sightings: Sightings) -> None:
        keys = self._belongings.keys
        wire = self._wire("key-issuer")
        request = _check_of(keys[number % len(keys)])

        async def check() -> None:
            sightings.checks.append(await timed(wire, request))

        await self._repeat(check, _CHECK_PAUSE)
        wire.close()

    async def _sign_in(self, sightings: Sightings) -> None:
        number = 0

        async def sign_in() -> None:
            nonlocal number
            usernames = self._belongings.usernames
            credentials = {
                "username": usernames[number % len(usernames)],
                "password": self._belongings.password,
            }
            wire = self._wire("auth-api", SIGN_IN_PEERS[number % len(SIGN_IN_PEERS)])
            sightings.sign_ins.append(await timed(wire, json_request("POST", "/api/v1/session", credentials)))
            wire.close()
            number += 1

        await self._repeat(sign_in, _SIGN_IN_PAUSE)

    async def _revoke(self, sightings: Sightings) -> None:
        headers = [("Cookie", self._belongings.cookie), ("Origin", self._belongings.origin)]
        wire, verifier = self._wire("auth-api"), self._wire("key-issuer")

        async def revoke() -> None:
            key_id, key = next(self._belongings.spare_keys)
            answer = await timed(wire, http_request("DELETE", f"/api/v1/keys/{key_id}", headers))
            sightings.revocations.append(answer)
            if answer[0] == 204:
                sightings.deaths.append(await _seconds_alive(verifier, key))

        await self._repeat(revoke, _REVOCATION_PAUSE)
        wire.close()
        verifier.close()

    async def _weigh(self, sightings: Sightings) -> None:
        async with Redis.from_url(self._services.environ["LATCHKEY_REDIS_URL"]) as redis:

            async def weigh() -> None:
                used = int((await redis.info("memory"))["used_memory"])
                sightings.redis_before = sightings.redis_before or used
                sightings.redis_most = max(sightings.redis_most, used)

            await self._repeat(weigh, _SIGN_IN_PAUSE)

    async def _repeat(self, work: Callable[[], Awaitable[None]], pause: float) -> None:
        while not self._over.is_set():
            await work()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause)

    async def _recovered(self, before: dict[str, list[int]], sightings: Sightings) -> None:
        """Every service is well again by itself, with the workers that it had."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        for name, url in self._services.urls.items():
            well = await asyncio.to_thread(is_well, url)
            while not well and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
                well = await asyncio.to_thread(is_well, url)
            if not well or self._workers()[name] != before[name]:
                sightings.restarted.append(name)
        sightings.bugs += [
            f"{name} logged a bug: {line[:600]}"
            for name, process in self._services.processes.items()
            for line in process.output().splitlines()
            if '"level": "error"' in line
        ]

    def _workers(self) -> dict[str, list[int]]:
        """The process ids of each service's workers."""
        found = {}
        for name, process in self._services.processes.items():
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            found[name] = sorted(map(int, children.read_text(encoding="ascii").split()))
        return found

    def _wire(self, service: str, peer: str = PEER) -> Wire:
        return Wire(self._services.urls[service], peer)


async def timed(wire: Wire, request: bytes) -> Answer:
    """The status and its seconds."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            status = await wire.send(request)
    except (OSError, EOFError, TimeoutError):
        status = _LOST
    return status, time.perf_counter() - began


def percentile(answers: Sequence[Answer], part: float) -> float:
    """The seconds that this part of the answers did not exceed; 0 of none."""
    seconds = sorted(each for _, each in answers)
    return seconds[min(len(seconds) - 1, int(len(seconds) * part))] if seconds else 0.0


async def _seconds_alive(verifier: Wire, key: str) -> float:
    began = time.perf_counter()
    while time.perf_counter() - began < DEAD_SECONDS:
        status, _ = await timed(verifier, _check_of(key))
        if status == 401:
            break
        await asyncio.sleep(0.02)
    return time.perf_counter() - began


def _check_of(key: str) -> bytes:
    return http_request("GET", "/api/v1/verify", [("Authorization", f"Bearer {key}")])


def _told(answers: Sequence[Answer]) -> str:
    counts = Counter(status for status, _ in answers)
    return ", ".join(f"{count} of {status or 'lost'}" for status, count in sorted(counts.items())) or "none"
