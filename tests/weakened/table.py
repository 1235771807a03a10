"""Every weakening, in the order of the catalogue."""

from __future__ import annotations

from typing import Final

from tests.weakened.consent import CONSENT
from tests.weakened.edges import EDGES
from tests.weakened.ownership import OWNERSHIP
from tests.weakened.protocol import PROTOCOL
from tests.weakened.unread import UNREAD
from tests.weakened.weakening import Weakening

WEAKENINGS: Final[tuple[Weakening, ...]] = tuple(
    sorted((*PROTOCOL, *CONSENT, *OWNERSHIP, *EDGES, *UNREAD), key=lambda weakening: weakening.case)
)
