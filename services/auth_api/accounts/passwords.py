"""Password hashing: argon2id on threads of its own, shared out by peer, and no way to tell who has an account."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher as Argon2
from argon2.exceptions import InvalidHashError, VerificationError

from shared.errors import StoreUnavailable
from shared.fair_executor import FairExecutor, LineFullError

SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 256
"""In characters; refused before anything is hashed."""

# OWASP's second recommendation for argon2id: 19 MiB, two passes; two at once stay below 40 MiB.
_MEMORY_KIB: Final = 19 * 1024
_PASSES: Final = 2
THREADS: Final = 2
LONGEST_QUEUE: Final = 48
"""Jobs that may run or wait; at about 25 ms each the last one is done well within a request's deadline."""
OPERATOR_PEER: Final = "operator"
"""The peer of what the command line hashes; its process hashes for nobody else."""

ResultT = TypeVar("ResultT")


class PasswordsBusy(StoreUnavailable):
    """More passwords of this peer wait to be hashed than will be done in time; try again in a moment."""

    def __init__(self) -> None:
        """Answered with 503 and ``Retry-After``."""
        super().__init__("passwords", "the hashing queue is full")


class PasswordHasher:
    """argon2id without blocking the loop. At most ``LONGEST_QUEUE`` jobs are taken on, and each peer has its turn.

    The peer is the one that limits count against (``peer_of``): who signs in without end, also with right passwords,
    waits and is refused for it, and nobody else is.
    """

    def __init__(self) -> None:
        """Starts no thread yet; the hash to compare with where there is none to find is made on first use."""
        self._argon2 = Argon2(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1)
        self._executor = FairExecutor(THREADS, LONGEST_QUEUE, "argon2")
        self._dummy_hash: str | None = None

    @property
    def jobs(self) -> int:
        """How many run or wait."""
        return self._executor.jobs

    async def hash(self, password: str, peer: str) -> str:
        """The encoded argon2id hash of a new password.

        Raises:
            PasswordsBusy: too many of this peer wait.
        """
        text = _normalised(password)
        return await self._run(peer, lambda: self._argon2.hash(text))

    async def verify(self, password_hash: str | None, password: str, peer: str) -> bool:
        """Whether the password is the one that was hashed; as slow for ``None`` (no such account) as for any.

        Raises:
            PasswordsBusy: too many of this peer wait.
        """
        text = _normalised(password)
        return await self._run(peer, lambda: self._matches(password_hash, text))

    async def in_turn(self, peer: str, work: Callable[[], ResultT]) -> ResultT:
        """Other work for a peer that would hold up the loop, when it is the peer's turn.

        Raises:
            PasswordsBusy: too many of this peer wait.
        """
        return await self._run(peer, work)

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made at another cost than today's."""
        return self._argon2.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Drops what waits and lets running hashes end by themselves."""
        self._executor.close()

    def _matches(self, password_hash: str | None, text: str) -> bool:
        dummy = self._dummy()  # made on whatever path comes first, so that its making shows nothing
        try:
            self._argon2.verify(password_hash or dummy, text)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    def _dummy(self) -> str:
        if self._dummy_hash is None:
            self._dummy_hash = self._argon2.hash("the password of no account")
        return self._dummy_hash

    async def _run(self, peer: str, work: Callable[[], ResultT]) -> ResultT:
        try:
            return await self._executor.run(peer, work)
        except LineFullError:
            raise PasswordsBusy from None


def _normalised(password: str) -> str:
    # One password typed on two systems may arrive composed or decomposed (RFC 8265 §4.2.2).
    return unicodedata.normalize("NFC", password)
