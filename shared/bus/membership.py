"""A member of a group on a stream: joins with a connection of its own, shows up among the group's readers, and leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from shared.bus.names import StreamKeys
from shared.bus.scripts import LEAVE
from shared.errors import StoreUnavailable
from shared.redis.connection import RedisConnection
from shared.redis.errors import CommandError
from shared.redis.full import INTRODUCE, even_if_full
from shared.redis.link import RedisLink

if TYPE_CHECKING:
    from shared.bus.bus import Bus

BLOCK_MS: Final = 2000
"""How long a read waits for an entry."""
PATIENCE_SECONDS: Final = BLOCK_MS / 1000 + 2
BEYOND_ALL: Final = "18446744073709551615-0"
"""Greater than the id of any entry: a member that asks for its own from here on is given none, at once."""

_log = structlog.get_logger("latchkey.bus")


class Membership:
    """That of one process in one group, under the name of its bus."""

    def __init__(self, bus: Bus, keys: StreamKeys, take_up: Callable[[], Awaitable[None]]) -> None:
        """``take_up`` looks for what an answer that was lost had given us."""
        self.connection: RedisConnection | None = None
        """The one on which the group was joined; it may be closed by now."""
        self.asks = ("XREADGROUP", "GROUP", keys.group, bus.instance)
        """What every reading command of this member begins with."""
        self.for_what_is_new = ("BLOCK", BLOCK_MS, "STREAMS", keys.stream, ">")
        """What it ends with where it asks for entries that no member has been given yet."""
        self._bus = bus
        self._keys = keys
        self._take_up = take_up
        self._client_id = 0
        self._link = RedisLink(
            bus.topology,
            keys.stream,
            client_name=f"{bus.instance}:{keys.group}",
            patience=PATIENCE_SECONDS,
            greet=(("CLIENT", "ID"), INTRODUCE),
            on_greeting=self._greeted,
        )

    async def join(self) -> RedisConnection:
        """A connection as a member of the group; what an answer that was lost had given to us is taken up first.

        Raises:
            StoreUnavailable: there is none now.
            CommandError: Redis refuses it.
        """
        connection, keys = await self._link.ready(), self._keys
        try:
            await even_if_full(
                connection.send, ("XGROUP", "CREATE", keys.stream, keys.group, "0", "MKSTREAM")
            )
        except CommandError as error:
            if error.code != "BUSYGROUP":  # it is there already
                raise
        await self.show_up(connection)
        await self._take_up()
        self.connection = connection
        return connection

    async def show_up(self, connection: RedisConnection) -> None:
        """Is counted among the group's readers: before 7.2 Redis does not see a member that only waits."""
        await connection.send((*self.asks, "STREAMS", self._keys.stream, BEYOND_ALL))

    def interrupted(self, error: StoreUnavailable | CommandError, *, tell: bool) -> None:
        """A read failed; where Redis refused it, the group is to be joined again. ``tell``: it is worth a line in the log."""
        if tell:
            _log.warning("reading_interrupted", stream=self._keys.stream, reason=str(error))
        if isinstance(error, CommandError):
            # NOGROUP and UNBLOCKED: the stream was deleted or flushed under us.
            self.connection = None
            if error.code == "MOVED":
                self._link.moved()

    async def unblock(self) -> None:
        """A read that waits is ended by the server, as if its time were over."""
        if self._client_id:
            with suppress(StoreUnavailable, CommandError):
                connection = await self._bus.redis.connection_for(self._keys.stream)
                await connection.send(("CLIENT", "UNBLOCK", self._client_id))

    async def disconnect(self) -> None:
        """Closes the connection for good; a member it remains until it has left."""
        await self._link.stop()

    async def leave(self) -> None:
        """Removes the member from the group if it holds nothing.

        Raises:
            StoreUnavailable: Redis is away; the janitor removes the member later.
        """
        keys = self._keys
        try:
            await self._bus.redis.run_script(LEAVE, [keys.stream], [keys.group, self._bus.instance])
        except CommandError as error:
            if error.code not in ("NOGROUP", "ERR"):  # no group, or no stream: nothing to leave
                raise

    def _greeted(self, replies: list[Any]) -> None:
        self._client_id = replies[0] if isinstance(replies[0], int) else 0
