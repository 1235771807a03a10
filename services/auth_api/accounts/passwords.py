"""Password hashing: argon2id on threads of its own, with a bounded queue, and no way to tell who has an account."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher as Argon2
from argon2.exceptions import InvalidHashError, VerificationError

from shared.errors import StoreUnavailable

SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 256
"""In characters; refused before anything is hashed."""

# OWASP's second recommendation for argon2id: 19 MiB, two passes; two at once stay below 40 MiB.
_MEMORY_KIB: Final = 19 * 1024
_PASSES: Final = 2
THREADS: Final = 2
LONGEST_QUEUE: Final = 48
"""Jobs that may run or wait; at about 25 ms each the last one is done well within a request's deadline."""

ResultT = TypeVar("ResultT")


class PasswordsBusy(StoreUnavailable):
    """More passwords wait to be hashed than will be done in time; try again in a moment."""

    def __init__(self) -> None:
        """Answered with 503 and ``Retry-After``."""
        super().__init__("passwords", "the hashing queue is full")


class PasswordHasher:
    """argon2id without blocking the loop. At most ``LONGEST_QUEUE`` jobs are taken on."""

    def __init__(self) -> None:
        """Starts no thread yet; the hash to compare with where there is none to find is made on first use."""
        self._argon2 = Argon2(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._taken = 0
        self._dummy_hash: str | None = None

    @property
    def jobs(self) -> int:
        """How many run or wait."""
        return self._taken

    async def hash(self, password: str) -> str:
        """The encoded argon2id hash of a new password.

        Raises:
            PasswordsBusy: the queue is full.
        """
        text = _normalised(password)
        return await self._run(lambda: self._argon2.hash(text))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed; as slow for ``None`` (no such account) as for any.

        Raises:
            PasswordsBusy: the queue is full.
        """
        text = _normalised(password)
        return await self._run(lambda: self._matches(password_hash, text))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made at another cost than today's."""
        return self._argon2.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Drops what waits and lets running hashes end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

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

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        if self._taken >= LONGEST_QUEUE:
            raise PasswordsBusy
        self._taken += 1
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)
        # The place is given back when the thread is done, not when a caller gives up: else requests that are
        # cancelled one after the other would pile up more work than the queue allows.
        job.add_done_callback(lambda _job: _on_loop(loop, self._release))
        return await asyncio.wrap_future(job)

    def _release(self) -> None:
        self._taken -= 1


def _on_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)


def _normalised(password: str) -> str:
    # One password typed on two systems may arrive composed or decomposed (RFC 8265 §4.2.2).
    return unicodedata.normalize("NFC", password)
