"""Which deliveries a process takes next: a few of each client, those of slow endpoints apart, under a lease.

A delivery that is taken is due again when its lease ends: whoever dies meanwhile leaves it to the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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
    hosts = Counter(turn.host for turn in going if turn.host)
    full = [host for host, turns in hosts.items() if turns >= MOST_TURNS_OF_HOST]
    async with resources.database.transaction() as connection:
        rows = await connection.fetch(
            sql["take_webhook_endpoints"], now, [turn.client_id for turn in going], full, slow, room
        )
        endpoints = {row["client_id"]: row for row in rows if _has_room(row["host"], hosts)}
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
        Turn(client_id, each["host"], slow, each["address"], each["changed_on"], lease, tuple(deliveries))
        for client_id, deliveries in taken.items()
        for each in (endpoints[client_id],)
    ]
    return len(endpoints), turns


def _has_room(host: str, hosts: Counter[str]) -> bool:
    """Counts a turn at a host, where that has room for one; where the host is not known there is."""
    hosts[host] += 1
    return not host or hosts[host] <= MOST_TURNS_OF_HOST


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
