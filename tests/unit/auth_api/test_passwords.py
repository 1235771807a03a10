"""Password hashing off the loop (abuse cases 38, 39)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from services.auth_api.accounts.passwords import LONGEST_QUEUE, THREADS, PasswordHasher, PasswordsBusy

pytestmark = pytest.mark.costly_passwords


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    """A hasher of the test's own."""
    hasher = PasswordHasher()
    yield hasher
    hasher.close()


async def test_a_password_is_verified_by_its_hash_alone(hasher: PasswordHasher) -> None:
    """The right one matches, another and the empty one do not, and the hash is argon2id."""
    encoded = await hasher.hash("correct horse")
    assert encoded.startswith("$argon2id$")
    assert "horse" not in encoded
    assert await hasher.verify(encoded, "correct horse")
    assert not await hasher.verify(encoded, "correct horsf")
    assert not await hasher.verify(encoded, "")


async def test_composed_and_decomposed_passwords_are_the_same(hasher: PasswordHasher) -> None:
    """RFC 8265 §4.2.2: what two systems type as é is one password."""
    assert await hasher.verify(await hasher.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")


@pytest.mark.parametrize("password", ["the password of nobody", "", "x" * 256])
async def test_ac_38_no_account_never_matches(hasher: PasswordHasher, password: str) -> None:
    """Where there is no hash one is compared with anyway, and nothing is right."""
    assert not await hasher.verify(None, password)


async def test_a_broken_hash_matches_nothing(hasher: PasswordHasher) -> None:
    """A row that somebody damaged refuses instead of raising."""
    assert not await hasher.verify("$argon2id$broken", "x")


async def test_ac_39_the_queue_is_bounded_and_outlives_its_callers(hasher: PasswordHasher) -> None:
    """A full queue refuses at once; callers that give up free no place before their work is done or dropped."""
    gate = threading.Event()
    blockers = [asyncio.create_task(hasher._run(gate.wait)) for _ in range(LONGEST_QUEUE)]
    await asyncio.sleep(0)
    try:
        with pytest.raises(PasswordsBusy):
            await asyncio.wait_for(hasher.hash("one too many"), 5)
        for blocker in blockers[:THREADS]:
            blocker.cancel()
        await asyncio.gather(*blockers[:THREADS], return_exceptions=True)
        with pytest.raises(PasswordsBusy):
            await asyncio.wait_for(hasher.hash("their threads still run"), 5)
    finally:
        gate.set()
    await asyncio.gather(*blockers[THREADS:])
    async with asyncio.timeout(5):
        while hasher._taken:
            await asyncio.sleep(0.001)
    assert await hasher.hash("room again")
