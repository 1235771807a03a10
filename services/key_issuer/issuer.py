"""What every use case of the issuer works with: the table, the peppers, the clock, and the memory of this process."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.key_issuer.db.repository import KeyRows, in_transaction
from services.key_issuer.verification import KeyCache
from shared import failpoints
from shared.clock import Clock
from shared.database import Database

ResultT = TypeVar("ResultT")


class Peppers:
    """The keyed hash that makes a stolen table useless, in versions so that it can be exchanged."""

    def __init__(self, versions: Mapping[int, bytes]) -> None:
        """``versions`` by number; the one that is named first seals what is new.

        So a new pepper can be made known to every process before the first of them seals anything with it.
        """
        self._versions = dict(versions)
        self.current = next(iter(versions))

    def seal(self, digest: str) -> bytes:
        """HMAC-SHA256(current pepper, SHA-256(key)): the 32 bytes that a row holds. ``ValueError`` for no hex."""
        return hmac.digest(self._versions[self.current], bytes.fromhex(digest), "sha256")

    def matches(self, digest: str, sealed: bytes, version: int) -> bool:
        """Whether ``sealed`` is this digest under the pepper of ``version``, in constant time.

        A version that is no longer configured matches nothing.
        """
        pepper = self._versions.get(version)
        if pepper is None:
            return False
        return hmac.compare_digest(hmac.digest(pepper, bytes.fromhex(digest), "sha256"), sealed)


@dataclass(frozen=True, slots=True)
class Issuer:
    """The stores and the clock of one process."""

    database: Database
    clock: Clock
    peppers: Peppers
    cache: KeyCache
    publish: Callable[[], None] = lambda: None
    """Wakes the relay, so that a committed event leaves at once."""

    def announce(self, narrowed: Sequence[str]) -> None:
        """After a commit: this process forgets these keys before it answers, and the relay tells the others at once."""
        if narrowed:
            self.cache.invalidate(narrowed)
            self.publish()

    async def narrow(
        self, work: Callable[[KeyRows], Awaitable[tuple[ResultT, Sequence[str]]]], point: str
    ) -> ResultT:
        """Runs ``work`` in one transaction, announces the keys that it names beside its result, and returns that.

        ``point`` is the failpoint between a commit that narrowed keys and the answer.
        """
        result, narrowed = await in_transaction(self.database, work)
        if narrowed:
            self.announce(narrowed)
            if failpoints.ARMED:
                await failpoints.failpoint(point)
        return result
