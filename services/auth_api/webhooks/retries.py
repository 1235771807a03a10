"""When a delivery is tried again: the operator's pauses, some jitter, and what the endpoint asks for."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MOST_JITTER: Final = 0.2
LONGEST_POSTPONED_MS: Final = 24 * 3_600_000
"""By how much ``Retry-After`` postpones a try at most."""
LONGEST_HEADER: Final = 64

_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

Random = Callable[[], float]
"""A number from 0 to 1; ``random.random`` outside of tests."""


def next_try_on(
    now: int,
    tries: int,
    pauses: Sequence[float],
    retry_after: str | None,
    chance: Random = random.random,
) -> int | None:
    """When a delivery is due again whose try number ``tries`` (from 1) has just failed; ``None`` after its last one.

    Args:
        now: Unix milliseconds, as is the answer.
        tries: how many there were.
        pauses: seconds before each further try.
        retry_after: the header of the answer, a stranger's text; it postpones only (RFC 9110 §10.2.3).
        chance: the source of jitter.
    """
    if tries > len(pauses):
        return None
    planned = now + round(pauses[tries - 1] * 1000 * (1 + MOST_JITTER * chance()))
    asked = _asked_for(now, retry_after)
    return planned if asked is None else max(planned, min(asked, now + LONGEST_POSTPONED_MS))


def _asked_for(now: int, retry_after: str | None) -> int | None:
    """The time that ``Retry-After`` names, in seconds or as a date; ``None`` where it names none."""
    if retry_after is None or len(retry_after) > LONGEST_HEADER:
        return None
    text = retry_after.strip()
    if _SECONDS.fullmatch(text):
        return now + int(text) * 1000
    try:
        date = parsedate_to_datetime(text)
        return round(date.replace(tzinfo=date.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
