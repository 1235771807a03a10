"""Lines of the audit that somebody can cause again and again: one an hour for what is the same, with how often it was.

The audit says who did what to whom, when, from where; it never holds a secret, and of a sign-in that was refused not even
the name that was typed, for people type passwords into the wrong field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.auth_api.rate_limit import Limit, Throttled
from services.auth_api.resources import Resources
from shared.telemetry.correlation import correlation

if TYPE_CHECKING:
    from services.auth_api.db.repository import Connection

ANONYMOUS: Final = "anonymous"
"""The actor of what was refused: nobody has proven to be anybody."""
UNKNOWN: Final = "unknown"
"""The subject of what was refused where there is no such account."""
MANY_PEERS: Final = "many"
"""The peer of what is more than its budget."""
REFUSED_LINES: Final = Limit("audit-refused", burst=2_000, interval_ms=3_600)
"""How many lines of their own refused sign-ins get: 2,000 at once and 1,000 an hour. Key: the site, there is only one."""
OWN_LINES: Final = Limit("audit-own", burst=100, interval_ms=36_000)
"""The same for what the owner of one account does from many peers. Key: the account."""
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class RepeatedAct:
    """Something that somebody did and can do again."""

    actor: str
    action: str
    subject: str
    peer: str | None
    detail: str | None = None
    """What else there is to know, in words of ours."""

    def counted(self, now: int) -> str:
        """What counts as the same: who did what to whom from where in this hour."""
        return f"{now // _HOUR_MS} {self.action} {self.actor} {self.subject} {self.detail or ''} {self.peer or ''}"


def own_act(user_id: int, action: str, peer: str | None) -> RepeatedAct:
    """What a person did to their own account."""
    return RepeatedAct(f"user:{user_id}", action, f"user:{user_id}", peer)


async def count_act(resources: Resources, act: RepeatedAct) -> None:
    """Notes what was done: in the line that it has in this hour, or a new one.

    Beyond a budget, which strangers can use up, a new line is shared: of refusals by all accounts and peers, else by all
    peers.

    Raises:
        StoreUnavailable: nothing was noted.
    """
    database, now = resources.database, resources.clock.now()
    if await database.fetchval("count_audit", act.counted(now)) is not None:
        return
    refused = act.actor == ANONYMOUS
    try:
        await resources.limiter.take(*(REFUSED_LINES, "site") if refused else (OWN_LINES, act.subject))
    except Throttled:
        subject = UNKNOWN if refused else act.subject
        act = RepeatedAct(act.actor, act.action, subject, MANY_PEERS)
    await database.execute("insert_counted_audit", *_line(act, now))


async def count_act_within(resources: Resources, connection: Connection, act: RepeatedAct) -> None:
    """The same in the running transaction of a change, which bounds by itself how often it is done."""
    now = resources.clock.now()
    await connection.execute(resources.database.sql["insert_counted_audit"], *_line(act, now))


def _line(act: RepeatedAct, now: int) -> tuple[object, ...]:
    request_id = correlation.get() or None
    return now, act.actor, act.action, act.subject, act.peer, request_id, act.detail, act.counted(now)
