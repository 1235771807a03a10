"""The people who visit the site: what each browser has under way and which account it has linked, in memory."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from deploy.demo_app.latchkey_api import LinkedKey
from shared.clock import Clock

MOST_VISITORS: Final = 10_000
MOST_PENDING: Final = 20
PENDING_MS: Final = 15 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Pending:
    """A link that was followed and has not come back yet."""

    context: str
    started_on: int


@dataclass(frozen=True, slots=True)
class LinkedAccount:
    """A person of Latchkey, and the key that the site holds of them."""

    username: str
    key: LinkedKey


@dataclass(slots=True)
class Visitor:
    """One browser."""

    pending: OrderedDict[str, Pending] = field(default_factory=OrderedDict)
    """By ``state``: the unguessable value that ties a callback to this browser (RFC 6749 §10.12)."""
    account: LinkedAccount | None = None

    def begin(self, now: int) -> tuple[str, Pending]:
        """Remembers a new link; the state and context that it carries."""
        state = secrets.token_urlsafe(24)
        pending = Pending(context=secrets.token_hex(8), started_on=now)
        self.pending[state] = pending
        while len(self.pending) > MOST_PENDING:
            self.pending.popitem(last=False)
        return state, pending

    def finish(self, state: str, context: str, now: int) -> bool:
        """Whether a callback with that state and context is one this browser waits for. Each counts once."""
        pending = self.pending.pop(state, None)
        if pending is None or now - pending.started_on > PENDING_MS:
            return False
        return secrets.compare_digest(pending.context.encode(), context.encode("utf-8", "surrogatepass"))


class Visitors:
    """All visitors, by the id in their cookie; the one seen longest ago is forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()

    def now(self) -> int:
        """The time in Unix milliseconds."""
        return self._clock.now()

    def find(self, visitor_id: str | None) -> Visitor | None:
        """The visitor with that id, if still known."""
        if visitor_id is None or visitor_id not in self._visitors:
            return None
        self._visitors.move_to_end(visitor_id)
        return self._visitors[visitor_id]

    def welcome(self) -> tuple[str, Visitor]:
        """A new visitor and the id for their cookie."""
        visitor_id, visitor = secrets.token_urlsafe(24), Visitor()
        self._visitors[visitor_id] = visitor
        while len(self._visitors) > MOST_VISITORS:
            self._visitors.popitem(last=False)
        return visitor_id, visitor

    def newest_account(self) -> LinkedAccount | None:
        """The account of the visitor seen last, if that one has linked any."""
        newest = next(reversed(self._visitors.values()), None)
        return newest.account if newest is not None else None
