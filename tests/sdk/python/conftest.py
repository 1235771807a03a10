"""What the tests of the Python SDK stand beside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from latchkey_sdk import Guard, _clock
from tests.sdk.python.latchkey import PlayedLatchkey, guarding, played_latchkey


class AheadClock:
    """The machine's clock, moved ahead by hand, for all guards that are made while a test runs."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._real = _clock.now

    def __call__(self) -> float:
        """The moment."""
        return self._real() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> AheadClock:
    """The clock of every guard that the test makes; ask for it before the guard."""
    clock = AheadClock()
    monkeypatch.setattr(_clock, "now", clock)
    return clock


@pytest.fixture
async def latchkey() -> AsyncIterator[PlayedLatchkey]:
    """Says what the test wants."""
    async with played_latchkey() as latchkey:
        yield latchkey


@pytest.fixture
async def guard(latchkey: PlayedLatchkey) -> AsyncIterator[Guard]:
    """Of that Latchkey, hearing it."""
    async with guarding(latchkey.url) as guard:
        yield guard
