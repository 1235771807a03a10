"""The client of every service: concurrent calls of one loop tick leave as one pipeline on a connection that comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from shared.bus.errors import CommandError, error_of
from shared.bus.redis_connection import Argument, RedisConnection, pack
from shared.bus.redis_link import RedisLink
from shared.bus.redis_url import parse_redis_url
from shared.bus.scripts import Script
from shared.bus.server_checks import ServerChecks
from shared.errors import StoreUnavailable

PATIENCE_SECONDS: Final = 1.25
"""A server that owes an answer for so long counts as gone; with connecting, every call ends within 3 s."""


class CoalescingRedis:
    """Commands to one Redis, from one event loop.

    Results are as Redis sends them: ``bytes``, ``int``, ``None`` and lists of these. There are no retries: an error
    does not mean that nothing was written. All commands of the product pass here or through a ``RedisLink``.
    """

    def __init__(
        self, url: str, *, client_name: str = "latchkey", checks: ServerChecks | None = None
    ) -> None:
        """Nothing is opened before the first command or ``start``; ``checks`` may refuse a server.

        Raises:
            ValueError: ``url`` is no Redis URL.
        """
        self._link = RedisLink(
            parse_redis_url(url),
            client_name=client_name,
            patience=PATIENCE_SECONDS,
            greet=checks.questions if checks else (),
            on_greeting=checks.answered if checks else None,
        )

    async def start(self) -> None:
        """Connects, in the background if it must; never fails."""
        await self._link.start()

    async def close(self) -> None:
        """Closes the connection; whatever waits gets ``StoreUnavailable``."""
        await self._link.stop()

    async def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless the server answers."""
        await self.execute("PING")

    async def execute(self, *command: Argument) -> Any:
        """Sends one command; its reply.

        Raises:
            StoreUnavailable: no answer within 3 s, or no server. The command may have been carried out.
            CommandError: Redis refused the command.
        """
        connection = self._link.connection
        if connection is None or not connection.is_open:
            connection = await self._link.ready()
        return await connection.send(command)

    async def execute_many(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Sends commands in one write; their replies, error replies among them as ``CommandError`` objects.

        Raises:
            StoreUnavailable: as ``execute``; any of the commands may have been carried out.
        """
        connection = await self._link.ready()
        sinks = [connection.send(command) for command in commands]
        outcomes = await asyncio.gather(*sinks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, CommandError):
                raise outcome
        return outcomes

    async def transaction(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Sends commands as one MULTI … EXEC; all keys in one slot. Their replies.

        Raises:
            StoreUnavailable: as ``execute``; all of them or none were carried out.
            CommandError: Redis refused one of them (the others were carried out all the same).
        """
        connection = await self._link.ready()
        sink = send_transaction(connection, commands)
        replies: list[Any] = await sink
        for reply in replies:
            if isinstance(reply, CommandError):
                raise error_of(reply)
        return replies

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

    def submit(self, commands: Iterable[Sequence[Argument]]) -> None:
        """Sends commands of which nobody wants the replies, if there is a connection."""
        connection = self._link.connection
        if connection is not None and connection.is_open:
            for command in commands:
                connection.write(pack(command), (None,))

    def send(self, command: Sequence[Argument]) -> asyncio.Future[Any]:
        """Sends one command now; the future gets its reply.

        Raises:
            StoreUnavailable: there is no connection at this moment; nothing was sent.
        """
        return self.open_connection().send(command)

    def open_connection(self) -> RedisConnection:
        """The connection of this moment.

        Raises:
            StoreUnavailable: there is none.
        """
        connection = self._link.connection
        if connection is None or not connection.is_open:
            raise StoreUnavailable("redis", "not connected")
        return connection

    async def ready(self) -> RedisConnection:
        """The connection; waits for one that is being made, a second at most. Raises ``StoreUnavailable``."""
        return await self._link.ready()


def send_transaction(
    connection: RedisConnection, commands: Sequence[Sequence[Argument]]
) -> asyncio.Future[list[Any]]:
    """Queues MULTI … EXEC; the future gets the list of replies, error replies among them as objects."""
    connection.write(pack(("MULTI",)), (None,))
    for command in commands:
        connection.write(pack(command), (None,))
    return connection.send(("EXEC",))
