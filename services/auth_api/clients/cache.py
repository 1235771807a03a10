"""The client registry as the hot path reads it: look-ups cached for under a second, those in use read in one query."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from services.auth_api.clients.model import Client, client_of
from shared.clock import Clock
from shared.database import Database

FRESH_SECONDS: Final = 0.8
"""With the time a look-up takes, a reset secret or a deleted client is known everywhere within a second."""
MOST_CLIENTS: Final = 2_000
READ_AT_ONCE: Final = 500
LONGEST_ID: Final = 64


@dataclass(slots=True)
class _Known:
    """What was read of one id; ``client`` is ``None`` where there is none."""

    client: Client | None
    fresh_until: float
    used: bool = False
    """Whether it was asked for since it was read: then it is read again with the next one that is."""


class ClientCache:
    """Clients by id. What was read counts for ``FRESH_SECONDS`` from before the read began; unknown ids too.

    A look-up that has to read reads all that is in use again, in one query: many busy clients cost what one costs.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        """An empty cache over schema ``auth``."""
        self._database = database
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._reading: dict[str, asyncio.Task[dict[str, Client]]] = {}

    async def find(self, client_id: str) -> Client | None:
        """The registered client with this id, at most a second old, or ``None``.

        Raises:
            StoreUnavailable: it is not known and PostgreSQL does not answer.
        """
        known = self._known.get(client_id)
        if known is not None and self._clock.monotonic() < known.fresh_until:
            known.used = True
            return known.client
        if not is_client_id(client_id):
            return None
        task = self._reading.get(client_id) or self._begin(client_id)
        # One caller that gives up must not take the answer from the others.
        found = await asyncio.shield(task)
        return found.get(client_id)

    def invalidate(self, client_id: str) -> None:
        """Drops what is known of a client that this process has just changed, also what is being read."""
        self._known.pop(client_id, None)
        self._reading.pop(client_id, None)

    def _begin(self, client_id: str) -> asyncio.Task[dict[str, Client]]:
        wanted = (client_id, *islice(self._ageing(client_id), READ_AT_ONCE))
        task = asyncio.create_task(self._read(wanted))
        self._reading |= dict.fromkeys(wanted, task)
        task.add_done_callback(lambda done: self._finished(wanted, done))
        return task

    def _ageing(self, but: str) -> Iterator[str]:
        """The others that are in use and will have to be read soon."""
        soon = self._clock.monotonic() + FRESH_SECONDS / 2
        for client_id, known in self._known.items():
            if known.fresh_until >= soon:
                return  # in the order of reading: what follows is younger
            if known.used and client_id != but and client_id not in self._reading:
                yield client_id

    async def _read(self, wanted: Sequence[str]) -> dict[str, Client]:
        fresh_until = self._clock.monotonic() + FRESH_SECONDS
        rows = await self._database.fetch("find_clients", wanted)
        found = {client.client_id: client for client in map(client_of, rows)}
        task = asyncio.current_task()
        for client_id in wanted:
            if self._reading.get(client_id) is task:
                self._known[client_id] = _Known(found.get(client_id), fresh_until)
                self._known.move_to_end(client_id)
        while len(self._known) > MOST_CLIENTS:
            self._known.popitem(last=False)
        return found

    def _finished(self, wanted: Sequence[str], task: asyncio.Task[dict[str, Client]]) -> None:
        for client_id in wanted:
            if self._reading.get(client_id) is task:
                del self._reading[client_id]
        if not task.cancelled():
            task.exception()  # retrieved: every waiter may have gone


def is_client_id(text: str) -> bool:
    """Whether this could be a client's id; nothing else reaches a query (a NUL would make it fail)."""
    return 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable()
