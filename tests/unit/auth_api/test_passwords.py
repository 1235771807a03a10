"""Password hashing off the loop (abuse cases 38, 39)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from services.auth_api.accounts.passwords import LONGEST_QUEUE, PasswordHasher, PasswordsBusy

pytestmark = pytest.mark.costly_passwords

PEER: Final = "203.0.113.7"


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    """A hasher of the test's own."""
    hasher = PasswordHasher()
    yield hasher
    hasher.close()


async def test_a_password_is_verified_by_its_hash_alone(hasher: PasswordHasher) -> None:
    """The right one matches, another and the empty one do not, and the hash is argon2id."""
    encoded = await hasher.hash("correct horse", PEER)
    assert encoded.startswith("$argon2id$")
    assert "horse" not in encoded
    assert await hasher.verify(encoded, "correct horse", PEER)
    assert not await hasher.verify(encoded, "correct horsf", PEER)
    assert not await hasher.verify(encoded, "", PEER)


async def test_composed_and_decomposed_passwords_are_the_same(hasher: PasswordHasher) -> None:
    """RFC 8265 §4.2.2: what two systems type as é is one password."""
    encoded = await hasher.hash("caf\u00e9 au lait", PEER)
    assert await hasher.verify(encoded, "cafe\u0301 au lait", PEER)


@pytest.mark.parametrize("password", ["the password of nobody", "", "x" * 256])
async def test_ac_38_no_account_never_matches(hasher: PasswordHasher, password: str) -> None:
    """Where there is no hash one is compared with anyway, and nothing is right."""
    assert not await hasher.verify(None, password, PEER)


async def test_a_broken_hash_matches_nothing(hasher: PasswordHasher) -> None:
    """A row that somebody damaged refuses instead of raising."""
    assert not await hasher.verify("$argon2id$broken", "x", PEER)


async def test_ac_39_a_full_queue_refuses_at_once(hasher: PasswordHasher) -> None:
    """What a peer asks beyond its places is refused; where the work is done there is room again."""
    gate = threading.Event()
    blockers = [asyncio.create_task(hasher._run(PEER, gate.wait)) for _ in range(LONGEST_QUEUE)]
    await asyncio.sleep(0)
    assert hasher.jobs == LONGEST_QUEUE
    try:
        with pytest.raises(PasswordsBusy):
            await asyncio.wait_for(hasher.hash("one too many", PEER), 5)
        with pytest.raises(PasswordsBusy):
            await asyncio.wait_for(hasher.verify(None, "one too many", PEER), 5)
        elsewhere = asyncio.create_task(hasher.hash("from elsewhere", "another peer"))
        await asyncio.wait_for(asyncio.wait(blockers, return_when=asyncio.FIRST_EXCEPTION), 5)
        assert not elsewhere.done()
    finally:
        gate.set()
    await elsewhere
    outcomes = await asyncio.gather(*blockers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not True] == [PasswordsBusy]
    assert await hasher.hash("room again", PEER)
