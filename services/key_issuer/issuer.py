"""What every use case of the issuer works with, made once by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.key_issuer.cache import KeyCache
from services.key_issuer.peppers import Peppers
from shared.clock import Clock
from shared.database import Database


def _nobody_to_tell() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Issuer:
    """The stores and the clock of one process."""

    database: Database
    clock: Clock
    peppers: Peppers
    cache: KeyCache
    publish: Callable[[], None] = _nobody_to_tell
    """Wakes the relay, so that a committed event leaves at once."""

    def announce(self, narrowed: Sequence[str]) -> None:
        """After a commit: this process forgets these keys before it answers, and the others are told at once.

        Where nothing was narrowed, nobody is in a hurry: the relay finds the events at its next look, many together.
        """
        if narrowed:
            self.cache.invalidate(narrowed)
            self.publish()
