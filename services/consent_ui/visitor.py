"""The person in front of a page."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contracts.sessions import SessionUser


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in person. ``session`` is the digest of the cookie's value."""

    session: str
    user: SessionUser
