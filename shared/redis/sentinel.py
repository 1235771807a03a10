"""What sentinels say, and the watch over connections that a failover has left at the wrong server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from shared.errors import StoreUnavailable
from shared.redis.connection import RedisConnection, connect
from shared.redis.errors import CommandError
from shared.redis.url import RedisAddress
from shared.supervisor import watched

LOOK_SECONDS: Final = 0.5
"""How often the sentinels are asked while all is well."""
PATIENCE_SECONDS: Final = 1.0


class SentinelQuorum:
    """All sentinels, with a connection to each that answered last time."""

    def __init__(self, sentinels: Sequence[RedisAddress]) -> None:
        """Nothing is opened yet."""
        self.problem = ""
        """Why the last of those that said nothing did so."""
        self._sentinels = tuple(sentinels)
        self._connections: dict[RedisAddress, RedisConnection] = {}

    def is_most(self, votes: int) -> bool:
        """Whether so many are more than half of all, also of those that do not answer."""
        return votes * 2 > len(self._sentinels)

    async def votes(self) -> Counter[RedisAddress]:
        """The primaries they name; of all that answer, or of more than half that agree."""
        votes: Counter[RedisAddress] = Counter()
        asking = [asyncio.create_task(self._named_by(sentinel)) for sentinel in self._sentinels]
        try:
            for answer in asyncio.as_completed(asking):
                try:
                    named = await answer
                except StoreUnavailable as error:
                    self.problem = error.reason
                    continue
                votes[named] += 1
                if self.is_most(votes[named]):
                    break
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return votes

    def close(self) -> None:
        """Closes the connections; the next question makes them again."""
        for connection in self._connections.values():
            connection.abort("dismissed")
        self._connections.clear()

    async def _named_by(self, sentinel: RedisAddress) -> RedisAddress:
        where = f"sentinel {sentinel.host}:{sentinel.port}"
        try:
            connection = await self._connection_to(sentinel)
            answer: Any = await connection.send(
                ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinel.primary or "")
            )
        except StoreUnavailable as error:
            raise StoreUnavailable("redis", f"{where}: {error.reason}") from error
        except CommandError as error:
            raise StoreUnavailable("redis", f"{where}: {error}") from error
        if not answer:
            raise StoreUnavailable("redis", f"{where} knows no primary by the name in the URL")
        return sentinel.named(answer[0].decode(), int(answer[1]))

    async def _connection_to(self, sentinel: RedisAddress) -> RedisConnection:
        connection = self._connections.get(sentinel)
        if connection is None or not connection.is_open:
            connection, _ = await connect(
                sentinel.sentinel(), client_name="latchkey-topology", patience=PATIENCE_SECONDS
            )
            self._connections[sentinel] = connection
        return connection


class PrimaryWatch:
    """Ends connections to a server that most sentinels no longer name, though it goes on answering.

    A primary that was replaced alive (an operator's failover) or cut off serves its clients for ten seconds more, and
    what they write there is thrown away. Runs while there are connections; where the sentinels are silent or do not
    agree, everything stays as it is.
    """

    def __init__(self, sentinels: Sequence[RedisAddress]) -> None:
        """Nothing is watched yet."""
        self._quorum = SentinelQuorum(sentinels)
        self._watched: WeakKeyDictionary[RedisConnection, RedisAddress] = WeakKeyDictionary()
        self._task: asyncio.Task[None] | None = None

    def watch(self, address: RedisAddress, connection: RedisConnection) -> None:
        """From now on until the connection is closed."""
        self._watched[connection] = address
        if self._task is None or self._task.done():
            self._task = watched(self._run(), "redis sentinels")

    async def _run(self) -> None:
        try:
            while closing := [connection.closed for connection in self._watched if connection.is_open]:
                await asyncio.wait(closing, timeout=LOOK_SECONDS)
                if not all(closed.done() for closed in closing):
                    await self._look()
        finally:
            self._quorum.close()

    async def _look(self) -> None:
        for primary, votes in (await self._quorum.votes()).items():
            if self._quorum.is_most(votes):
                self._end_all_but(primary)

    def _end_all_but(self, primary: RedisAddress) -> None:
        for connection, address in list(self._watched.items()):
            if address != primary:
                connection.abort("another server is the primary now")
