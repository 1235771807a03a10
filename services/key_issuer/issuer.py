"""What every use case of the issuer works with: the table, the peppers, the clock, and the memory of this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.key_issuer.db.repository import KeyRows, in_transaction
from services.key_issuer.verification import KeyCache
from shared.clock import Clock
from shared.database import Database
from shared.failpoints import ARMED, failpoint
from shared.secret_tokens import Peppers

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Issuer:
    """The stores and the clock of one process."""

    database: Database
    clock: Clock
    peppers: Peppers
    cache: KeyCache
    publish: Callable[[], None] = lambda: None
    """Wakes the relay, so that a committed event leaves at once."""
    keys_per_user: int = 100
    """How many live or paused keys of their own, without a client, a person may have."""

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
            if ARMED:
                await failpoint(point)
        return result
