"""A connection to Redis that comes back: it is made again for ever, and says at once when there is none."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from shared.errors import StoreUnavailable
from shared.redis.connection import BECAME_REPLICA, Argument, RedisConnection, connect
from shared.redis.topology import Key, Topology
from shared.supervisor import Backoff, watched

SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 0.5
WAIT_SECONDS: Final = 1.2
STOPPED: Final = "stopped"

_log = structlog.get_logger("latchkey.bus")


class RedisLink:
    """Keeps one connection open from ``start`` to ``stop``.

    While the first attempt of an outage runs, callers wait for it (about a second at most); once it has failed
    they are refused at once until a later attempt succeeds.
    """

    def __init__(
        self,
        topology: Topology,
        key: Key,
        *,
        client_name: str,
        patience: float,
        greet: Sequence[tuple[Argument, ...]] = (),
        on_greeting: Callable[[list[Any]], None] | None = None,
    ) -> None:
        """To the server that holds ``key``. ``greet`` is asked on every new connection; ``on_greeting`` gets the replies and may refuse the server."""
        self.connection: RedisConnection | None = None
        self.on_redirect: Callable[[], None] = topology.suspect
        self._topology = topology
        self._key = key
        self._client_name = client_name
        self._patience = patience
        self._greet = greet
        self._on_greeting = on_greeting
        self._outage = ""
        self._told: set[str] = set()
        """The reasons of this outage that are in the log."""
        self._attempted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to connect; returns when the first attempt has succeeded or failed."""
        if self._task is None:
            self._task = watched(self._run(), f"connection {self._client_name}")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._attempted.wait(), WAIT_SECONDS)

    async def stop(self) -> None:
        """Closes the connection for good."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        if self.connection is not None:
            self.connection.abort(STOPPED)
        self.connection, self._outage = None, STOPPED
        self._attempted.set()

    async def ready(self) -> RedisConnection:
        """The open connection.

        Raises:
            StoreUnavailable: there is none now.
        """
        connection = self.connection
        if connection is not None and connection.is_open:
            return connection
        if self._task is None and self._outage != STOPPED:
            await self.start()
        if connection is not None:  # it was lost in this very tick: a new attempt is about to begin
            self._attempted.clear()
            self.connection = None
        if not self._attempted.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._attempted.wait(), WAIT_SECONDS)
        connection = self.connection
        if connection is None or not connection.is_open:
            raise StoreUnavailable("redis", self._outage or "not connected")
        return connection

    def moved(self) -> None:
        """The key is elsewhere now: the connection is made again, to where it is."""
        self._topology.suspect()
        if self.connection is not None:
            self.connection.abort("moved")

    async def _run(self) -> None:
        backoff = Backoff(first=SHORTEST_PAUSE, longest=LONGEST_PAUSE)
        while True:
            try:
                connection = await self._connect()
            except StoreUnavailable as error:
                if error.reason not in self._told:
                    _log.warning("redis_unavailable", reason=error.reason, connection=self._client_name)
                    self._told.add(error.reason)
                self._outage = error.reason
                self._attempted.set()
                self._topology.suspect()
                await backoff.sleep()
                continue
            if self._outage:
                _log.info("redis_back", connection=self._client_name)
            self.connection, self._outage = connection, ""
            backoff.reset()
            self._told.clear()
            self._attempted.set()
            reason = await connection.closed
            self._topology.suspect()
            self.connection = None
            if reason == BECAME_REPLICA:  # it takes connections still: without a pause they would storm it
                self._outage = reason
                self._attempted.set()
                await asyncio.sleep(LONGEST_PAUSE * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, no secret
            self._attempted.clear()

    async def _connect(self) -> RedisConnection:
        address = await self._topology.locate(self._key)
        questions = self._topology.questions
        connection, replies = await connect(
            address,
            client_name=self._client_name,
            patience=self._patience,
            greet=(*questions, *self._greet),
        )
        connection.on_redirect = self.on_redirect
        try:
            self._topology.answered(replies[: len(questions)])
            if self._on_greeting is not None:
                self._on_greeting(replies[len(questions) :])
        except BaseException:
            connection.abort("refused")
            raise
        self._topology.opened(address, connection)
        return connection
