"""Every weakening, in the order of the catalogue; those that are derived from lists of checks come last."""

from __future__ import annotations

from typing import Final

from tests.weakened.edges import EDGES
from tests.weakened.people import CONSENT, OWNERSHIP
from tests.weakened.protocol import BINDING, EXCHANGE, PROTOCOL
from tests.weakened.weakening import Weakening

WEAKENINGS: Final[tuple[Weakening, ...]] = tuple(
    sorted(
        (*EXCHANGE, *BINDING, *PROTOCOL, *CONSENT, *OWNERSHIP, *EDGES), key=lambda weakening: weakening.case
    )
)
