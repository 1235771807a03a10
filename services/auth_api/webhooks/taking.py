"""Which deliveries a process takes next: a few of each client, those of slow endpoints apart, under a lease.

A delivery that is taken is due again when its lease ends: whoever dies meanwhile leaves it to the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.auth_api.clients.model import OPERATOR
from services.auth_api.resources import Resources
from services.auth_api.webhooks.attempt import TRY_SECONDS
from services.auth_api.webhooks.endpoints import CLEARED, DISABLED, drop_waiting

if TYPE_CHECKING:
    from asyncpg import Record

    from services.auth_api.db.repository import Connection

MOST_TURNS: Final = 48
"""Clients that one process sends to at the same time."""
MOST_OF_A_KIND: Final = 32
"""How many of them may count as slow (endpoints that hold a turn for seconds, or that nobody knows yet), and how many as quick:
neither kind takes all the turns of the other."""
MOST_TURNS_OF_HOST: Final = 4
"""How many of them may be at one host, whoever's clients they are."""
MOST_TURNS_OF_AUTHOR: Final = 4
"""How many of them may be clients of one author, whatever their hosts: names of hosts cost nothing."""
MOST_OF_TURN: Final = 8
"""Deliveries that are sent to one client at the same time, and end its turn together."""
MOST_LOOKS: Final = 20
"""How often a process looks on at once where clients had nothing left to send."""
LEASE_MS: Final = round((TRY_SECONDS + 20) * 1000)
BEFORE_ADDRESS: Final = "the address was set later"


@dataclass(frozen=True, slots=True)
class Taken:
    """One delivery under a lease."""

    webhook_id: str
    body: bytes
    queued_on: int
    tries: int
    """How many there were."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Some deliveries of one client, to be tried at the same time."""

    client_id: str
    author: int
    """``OPERATOR`` for the operator's own clients, which are not counted together."""
    host: str
    slow: bool
    address: str
    changed_on: int
    """When the author last set the address."""
    lease: int
    """Until when they are ours, in Unix milliseconds; it also shows that they still are."""
    deliveries: tuple[Taken, ...]


async def take_turns(resources: Resources, running: Mapping[str, Turn]) -> list[Turn]:
    """The next turns that there is room for beside the running ones (by client), whoever waits longest first.

    What an address does not get any more is dropped. Raises ``StoreUnavailable``; then nothing is taken.
    """
    now = resources.clock.now()
    if not await resources.database.fetchval("are_webhooks_due", now):
        return []
    turns: list[Turn] = []
    for slow in (False, True):
        for _ in range(MOST_LOOKS):
            going = [*running.values(), *turns]
            of_kind = sum(turn.slow is slow for turn in going)
            room = min(MOST_TURNS - len(going), MOST_OF_A_KIND - of_kind)
            if room <= 0:
                break
            endpoints, taken = await _take(resources, going, now, room, slow=slow)
            turns += taken
            if endpoints == len(taken):
                break  # there are no more, or no more room; else those had nothing left to send, and others may follow
    return turns


async def _take(
    resources: Resources, going: Collection[Turn], now: int, room: int, *, slow: bool
) -> tuple[int, list[Turn]]:
    """How many clients were looked at, and the turns of those that have something to send."""
    sql = resources.database.sql
    crowds = _Crowds(going)
    async with resources.database.transaction() as connection:
        rows = await connection.fetch(
            sql["take_webhook_endpoints"],
            now,
            [turn.client_id for turn in going],
            *crowds.full(),
            slow,
            room,
        )
        endpoints = {row["client_id"]: row for row in rows if crowds.admit(row["host"], row["author"])}
        if not endpoints:
            return 0, []
        lease = now + LEASE_MS
        leased = await connection.fetch(
            sql["lease_webhook_deliveries"], list(endpoints), now, MOST_OF_TURN, lease
        )
        wanted = await _without_unwanted(resources, connection, endpoints, leased, now)
        await connection.execute(sql["move_webhook_endpoints"], list(endpoints), now)
    taken: dict[str, list[Taken]] = {}
    for row in wanted:
        delivery = Taken(row["webhook_id"], row["body"], row["queued_on"], row["tries"])
        taken.setdefault(row["client_id"], []).append(delivery)
    turns = [
        Turn(
            client_id,
            each["author"],
            each["host"],
            slow,
            each["address"],
            each["changed_on"],
            lease,
            tuple(deliveries),
        )
        for client_id, deliveries in taken.items()
        for each in (endpoints[client_id],)
    ]
    return len(endpoints), turns


class _Crowds:
    """How many turns each host and each author has."""

    def __init__(self, going: Collection[Turn]) -> None:
        self._hosts = Counter(turn.host for turn in going)
        self._authors = Counter(turn.author for turn in going)

    def full(self) -> tuple[list[str], list[int]]:
        """Hosts and authors that have all that they may."""
        return (
            [host for host in self._hosts if not self._host_has_room(host)],
            [author for author in self._authors if not self._author_has_room(author)],
        )

    def admit(self, host: str, author: int) -> bool:
        """Counts one more turn, where host and author both have room for it."""
        if not (self._host_has_room(host) and self._author_has_room(author)):
            return False
        self._hosts[host] += 1
        self._authors[author] += 1
        return True

    def _host_has_room(self, host: str) -> bool:
        """Where the host is not known there is."""
        return not host or self._hosts[host] < MOST_TURNS_OF_HOST

    def _author_has_room(self, author: int) -> bool:
        return author == OPERATOR or self._authors[author] < MOST_TURNS_OF_AUTHOR


async def _without_unwanted(
    resources: Resources,
    connection: Connection,
    endpoints: Mapping[str, Record],
    leased: Sequence[Record],
    now: int,
) -> list[Record]:
    """Those that are to be sent. The others, which a race with a change of the address left, are dropped."""
    sql = resources.database.sql
    wanted: list[Record] = []
    unwanted: list[Record] = []
    for row in leased:
        endpoint = endpoints[row["client_id"]]
        is_wanted = endpoint["address"] is not None and endpoint["disabled_on"] is None
        early = row["queued_on"] < endpoint["set_on"]
        (wanted if is_wanted and not early else unwanted).append(row)
    if unwanted:
        ids = [row["webhook_id"] for row in unwanted]
        rows = await connection.fetch(sql["drop_webhooks"], ids, now, BEFORE_ADDRESS)
        resources.deliveries.count_ended("dropped", [row["client_id"] for row in rows])
    for client_id, endpoint in endpoints.items():
        if endpoint["address"] is None or endpoint["disabled_on"] is not None:
            why = CLEARED if endpoint["address"] is None else DISABLED
            await drop_waiting(resources, connection, client_id, why)
    return wanted
