"""Pauses between tries, as an operator writes them: seconds with commas between them."""

from __future__ import annotations

import re
from typing import Final

MOST_PAUSES: Final = 20
WEBHOOK_PAUSES: Final[tuple[float, ...]] = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""With the first one ten tries over three days."""

_PAUSE: Final = re.compile(r" ?([0-9]{1,7}(?:\.[0-9]{1,3})?) ?", re.ASCII)


def read_pauses(text: str) -> tuple[float, ...]:
    """The pauses in seconds, 1 to ``MOST_PAUSES``.

    Raises:
        ValueError: what would be right.
    """
    found = [_PAUSE.fullmatch(number) for number in text.split(",")]
    pauses = tuple(float(each[1]) if each else 0.0 for each in found)
    if not all(pauses) or len(pauses) > MOST_PAUSES:
        raise ValueError(
            f"1 to {MOST_PAUSES} positive numbers of seconds with commas between them, like 5,300,1800"
        )
    return pauses
