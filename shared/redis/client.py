"""The client of every service: concurrent calls of one loop tick leave as a pipeline on a connection that comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final

import structlog

from shared.clock import Clock
from shared.errors import StoreUnavailable
from shared.redis.checks import ServerChecks
from shared.redis.connection import Argument, RedisConnection, pack
from shared.redis.errors import CommandError
from shared.redis.full import once_more_if_full
from shared.redis.link import STOPPED, RedisLink
from shared.redis.script import Script
from shared.redis.topology import Cluster, Key, OneServer, Topology, key_of, topology_of
from shared.redis.url import RedisAddress, parse_redis_url

PATIENCE_SECONDS: Final = 1.25
"""A server that owes an answer for so long counts as gone; with connecting, every call ends within 3 s."""
MEASURE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.5
EXACT_SECONDS: Final = 0.1
"""An answer that took longer (Redis was stopped, or we were) says too little about when it was given."""

_log = structlog.get_logger("latchkey.bus")


class CoalescingRedis:
    """Commands to one Redis, to the primary that sentinels name, or to one Redis Cluster, from one event loop.

    Results are as Redis sends them: ``bytes``, ``int``, ``None`` and lists of these. There are no retries: an error
    does not mean that nothing was written. All commands of the product pass here or through a ``RedisLink``.
    """

    def __init__(
        self, redis: str | Topology, *, client_name: str = "latchkey", checks: ServerChecks | None = None
    ) -> None:
        """Nothing is opened before the first command or ``start``; ``checks`` may refuse a server.

        Raises:
            ValueError: ``redis`` is no Redis URL.
        """
        self._topology = topology_of(parse_redis_url(redis)) if isinstance(redis, str) else redis
        self._client_name = client_name
        self._checks = checks
        self._links: dict[RedisAddress, RedisLink] = {}
        single = not isinstance(self._topology, Cluster)
        self._only = self._new_link(self._topology, "the only one") if single else None
        self._closed = False

    async def start(self) -> None:
        """Connects, in the background if it must; never fails."""
        with suppress(StoreUnavailable):
            await self.connection_for(None)

    async def close(self) -> None:
        """Closes the connections; whatever waits gets ``StoreUnavailable``."""
        self._closed = True
        for link in (*self._links.values(), *([self._only] if self._only else [])):
            await link.stop()

    async def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless the server (of a cluster: one of them) answers."""
        await self.execute("PING")

    async def execute(self, *command: Argument) -> Any:
        """Sends one command; its reply.

        Raises:
            StoreUnavailable: no answer within 3 s, or no server. The command may have been carried out.
            CommandError: Redis refused the command.
        """
        if self._only is not None:
            connection = self._only.connection
            if connection is None or not connection.is_open:
                connection = await self._only.ready()
            return await connection.send(command)
        connection = await self.connection_for(key_of(command))
        try:
            return await connection.send(command)
        except CommandError as error:
            if error.code not in ("MOVED", "ASK"):
                raise
            return await self._redirected(error, command)  # it was not carried out

    async def execute_even_if_full(self, *command: Argument) -> Any:
        """Sends one command that takes something back; its reply, also where Redis has no memory left.

        Raises:
            StoreUnavailable: as ``execute``.
            CommandError: as ``execute``.
        """
        try:
            return await self.execute(*command)
        except StoreUnavailable as error:
            return await once_more_if_full(error, lambda words: self.execute(*words), command)

    async def begin(self, *command: Argument) -> asyncio.Future[Any]:
        """Sends one command now; what is returned gives its reply, as ``execute`` does.

        Raises:
            StoreUnavailable: there is no connection; nothing was sent.
        """
        if self._only is not None:
            return (await self.connection_for(None)).send(command)
        return asyncio.ensure_future(self.execute(*command))

    async def execute_many(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Sends commands in one write; their replies, error replies among them as ``CommandError`` objects.

        Raises:
            StoreUnavailable: as ``execute``; any of the commands may have been carried out.
        """
        if self._only is not None:
            sinks = (await self.connection_for(None)).send_all(commands)
        else:
            sinks = [asyncio.ensure_future(self.execute(*command)) for command in commands]
        outcomes: list[Any] = []
        outage: StoreUnavailable | None = None
        try:
            for sink in sinks:  # answered in their order: all but the first few are there already
                try:
                    outcomes.append(await sink)
                except CommandError as error:
                    outcomes.append(error)
                except StoreUnavailable as error:
                    outage = outage or error
        finally:
            for sink in sinks:
                sink.cancel()  # does nothing to those that are done
        if outage is not None:
            raise outage
        return outcomes

    async def run_script(
        self, script: Script, keys: Sequence[str | bytes] = (), args: Sequence[Argument] = ()
    ) -> Any:
        """Runs a script by its digest; sends the source where the server does not know it yet.

        Raises:
            StoreUnavailable: as ``execute``.
            CommandError: the script itself failed, a bug.
        """
        try:
            return await self.execute("EVALSHA", script.sha, len(keys), *keys, *args)
        except CommandError as error:
            if error.code != "NOSCRIPT":  # then nothing was run
                raise
        return await self.execute("EVAL", script.source, len(keys), *keys, *args)

    async def primaries(self) -> list[tuple[str, RedisConnection]]:
        """A connection to each server that holds keys: to one, without a name, or to every primary of a cluster.

        Raises:
            StoreUnavailable: one of them has none now.
        """
        if self._only is not None:
            return [("", await self._only.ready())]
        return [
            (f"{address.host}:{address.port}", await self._link_to(address).ready())
            for address in await self._topology.primaries()
        ]

    async def connection_for(self, key: Key) -> RedisConnection:
        """The connection to the server that holds a key; waits for one that is being made, a second at most.

        Raises:
            StoreUnavailable: there is none now.
        """
        if self._only is not None:
            connection = self._only.connection
            return connection if connection is not None and connection.is_open else await self._only.ready()
        link = self._link_to(await self._topology.locate(key))
        try:
            return await link.ready()
        except StoreUnavailable:
            self._topology.suspect()
            raise

    async def _redirected(self, error: CommandError, command: Sequence[Argument]) -> Any:
        """Sends a command to where Redis says that its key is now, or (``ASK``) is moving to."""
        assert isinstance(self._topology, Cluster)
        host, _, port = str(error).rpartition(" ")[2].rpartition(":")
        connection = await self._link_to(self._topology.near(host, int(port))).ready()
        if error.code == "ASK":
            connection.write(pack(("ASKING",)), (None,))
        return await connection.send(command)

    def _link_to(self, address: RedisAddress) -> RedisLink:
        if self._closed:
            raise StoreUnavailable("redis", STOPPED)
        link = self._links.get(address)
        if link is None:
            link = self._new_link(OneServer(address), f"{address.host}:{address.port}")
            self._links[address] = link
        return link

    def _new_link(self, topology: Topology, server: str) -> RedisLink:
        checks = self._checks
        link = RedisLink(
            topology,
            None,
            client_name=self._client_name,
            patience=PATIENCE_SECONDS,
            greet=checks.questions if checks else (),
            on_greeting=partial(checks.answered, server) if checks else None,
        )
        link.on_redirect = self._topology.suspect
        return link


class RedisTime:
    """The time by which deadlines are told: that of Redis, so that the clocks of two machines need not agree.

    What Redis said last, and the time since then on a clock that is never set.
    """

    def __init__(self, clock: Clock) -> None:
        """``clock`` is believed until Redis has been asked."""
        self._clock = clock
        self._told: float | None = None

    def now(self) -> int:
        """Unix milliseconds by the clock of Redis."""
        if self._told is None:
            return self._clock.now()
        return int(self._told + monotonic() * 1000)

    async def measure(self, redis: CoalescingRedis) -> None:
        """Asks Redis once. Raises ``StoreUnavailable``."""
        before = monotonic()
        answer: list[Any] = await redis.execute("TIME")
        after = monotonic()
        if self._told is not None and after - before > EXACT_SECONDS:
            return
        here = (before + after) / 2
        self._told = int(answer[0]) * 1000 + int(answer[1]) / 1000 - here * 1000

    async def run(self, redis: CoalescingRedis) -> None:
        """Asks every few seconds until cancelled."""
        while True:
            try:
                await self.measure(redis)
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
            except CommandError as error:
                _log.warning("redis_time_unknown", reason=str(error))
                return
            else:
                await asyncio.sleep(MEASURE_SECONDS)
