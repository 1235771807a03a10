"""Every weakening, in the order of the catalogue."""

from __future__ import annotations

from typing import Final

from tests.weakened.access import ACCESS
from tests.weakened.edges import EDGES
from tests.weakened.protocol import PROTOCOL
from tests.weakened.weakening import Weakening

WEAKENINGS: Final[tuple[Weakening, ...]] = tuple(
    sorted((*PROTOCOL, *ACCESS, *EDGES), key=lambda weakening: weakening.case)
)
