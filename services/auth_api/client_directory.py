"""The client registry as the hot path reads it: a look-up cached for under a second, one query at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from services.auth_api.client import Client
from services.auth_api.db.repository import client_of
from services.auth_api.resources import Resources
from shared.clock import Clock
from shared.database import Database

FRESH_SECONDS: Final = 0.8
"""With the time a look-up takes, a reset secret or a deleted client is known everywhere within a second."""
MOST_CLIENTS: Final = 2_000
LONGEST_ID: Final = 64


class ClientDirectory:
    """Clients by id. What was read counts for ``FRESH_SECONDS`` from before the read began; unknown ids too."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """An empty directory over schema ``auth``."""
        self._database = database
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Client | None]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[Client | None]] = {}

    async def find(self, client_id: str) -> Client | None:
        """The client, at most a second old.

        Raises:
            StoreUnavailable: it is in no cache and PostgreSQL does not answer.
        """
        known = self._known.get(client_id)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        task = self._reading.get(client_id)
        if task is None:
            task = asyncio.create_task(self._read(client_id))
            self._reading[client_id] = task
            task.add_done_callback(lambda done: self._finished(client_id, done))
        # One caller that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    def forget(self, client_id: str) -> None:
        """Drops what is known of a client that this process has just changed, also what is being read."""
        self._known.pop(client_id, None)
        self._reading.pop(client_id, None)

    async def _read(self, client_id: str) -> Client | None:
        fresh_until = self._clock.monotonic() + FRESH_SECONDS
        row = await self._database.fetchrow("find_client", client_id)
        client = None if row is None else client_of(row)
        if self._reading.get(client_id) is asyncio.current_task():
            self._known[client_id] = fresh_until, client
            self._known.move_to_end(client_id)
            if len(self._known) > MOST_CLIENTS:
                self._known.popitem(last=False)
        return client

    def _finished(self, client_id: str, task: asyncio.Task[Client | None]) -> None:
        if self._reading.get(client_id) is task:
            del self._reading[client_id]
        if not task.cancelled():
            task.exception()  # retrieved: every waiter may have gone


def is_client_id(text: str) -> bool:
    """Whether this could be a client's id; nothing else reaches a query (a NUL would make it fail)."""
    return 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable()


async def find_client(resources: Resources, client_id: str) -> Client | None:
    """The registered client with this id, at most a second old, or ``None``.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    return await resources.clients.find(client_id) if is_client_id(client_id) else None


async def find_own_client(resources: Resources, author_id: int, client_id: str) -> Client | None:
    """The client with this id if this account registered it; ``None`` looks the same for others' and unknown ones.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    client = await find_client(resources, client_id)
    return client if client is not None and client.author_id == author_id else None
