"""Hashing is shared out by peer (abuse case 39): who signs in without end, with right passwords, stops nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest

from services.auth_api.accounts.passwords import LONGEST_QUEUE, PasswordHasher
from shared.web import edge
from tests.harness.site import PASSWORD
from tests.integration.auth_api.conftest import Registry, RegistryStarter

OTHERS: Final = 10
_SETTINGS: Final = {"TRUSTED_PROXIES": "1", "SIGN_UP_LIMIT": "1000"}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set no password is compared: so long the threads are busy, and what comes has to wait."""
    gate, compare = threading.Event(), PasswordHasher._matches

    def gated(hasher: PasswordHasher, password_hash: str | None, text: str) -> bool:
        assert gate.wait(60)
        return compare(hasher, password_hash, text)

    monkeypatch.setattr(PasswordHasher, "_matches", gated)
    monkeypatch.setattr(edge, "DEADLINE_SECONDS", 60.0)
    return gate


async def _sign_in(registry: Registry, username: str, peer: str) -> tuple[int, str]:
    """The status of one sign-in as the proxy hands it on from a peer, and when to try again."""
    answer = await registry.site.http.post(
        "/api/v1/session",
        json={"username": username, "password": PASSWORD},
        headers={"X-Forwarded-For": peer},
        timeout=60,
    )
    return answer.status_code, answer.headers.get("Retry-After", "")


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def _signing_in_without_end(
    registry: Registry, names: Sequence[str], peer_of: Callable[[int], str]
) -> AsyncIterator[Counter[tuple[int, str]]]:
    """Every account signs in, and again as soon as it has its answer; the answers so far, a full queue among them."""
    answers: Counter[tuple[int, str]] = Counter()
    over = False

    async def loop(name: str, peer: str) -> None:
        while not over:
            answers[await _sign_in(registry, name, peer)] += 1

    loops = [asyncio.create_task(loop(name, peer_of(number))) for number, name in enumerate(names)]
    await _until(lambda: answers[503, "1"] > 0)
    try:
        yield answers
    finally:
        over = True
        await asyncio.gather(*loops)


@pytest.mark.parametrize("hostile_peers", [1, 3])
async def test_ac_39_right_passwords_starve_nobody(
    start_registry: RegistryStarter, gate: threading.Event, hostile_peers: int
) -> None:
    """As many accounts as fit, and more, of one peer or three, in a loop: anybody else's sign-in succeeds all the same.

    A /64 is one peer here too: the addresses of one are many, and count together.
    """
    async with start_registry(**_SETTINGS) as registry:
        hostile = [(await registry.site.sign_up()).username for _ in range(LONGEST_QUEUE + 2)]
        others = [(await registry.site.sign_up()).username for _ in range(OTHERS)]
        async with _signing_in_without_end(
            registry, hostile, lambda number: f"2001:db8:0:{number % hostile_peers}::{number:x}"
        ) as flood:
            signing_in = [
                asyncio.create_task(_sign_in(registry, name, f"203.0.113.{number}"))
                for number, name in enumerate(others)
            ]
            await _until(lambda: flood[503, "1"] > 2 * LONGEST_QUEUE)
            gate.set()
            statuses = await asyncio.gather(*signing_in)
    assert statuses == [(200, "")] * OTHERS
    assert set(flood) == {(200, ""), (503, "1")}
