"""The reading loop of one member of a group, on a connection of its own, and how much it may take; a read is never cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from shared.bus.names import StreamKeys
from shared.contracts.messages import RawEntry
from shared.errors import StoreUnavailable
from shared.redis.connection import RedisConnection
from shared.redis.errors import CommandError
from shared.redis.full import INTRODUCE, even_if_full
from shared.redis.link import RedisLink
from shared.supervisor import Backoff

if TYPE_CHECKING:
    from shared.bus.bus import Bus

BLOCK_MS: Final = 2000
PATIENCE_SECONDS: Final = BLOCK_MS / 1000 + 2
BEYOND_ALL: Final = "18446744073709551615-0"
"""Greater than the id of any entry: a member that asks for its own from here on is given none, at once."""

FRESH_SECONDS: Final = 0.05
"""A batch that has run for longer counts as slow and holds up no other."""

_log = structlog.get_logger("latchkey.bus")


class GroupReader:
    """Reads as many entries as there is room for, and gives them to ``dispatch``."""

    def __init__(
        self,
        bus: Bus,
        keys: StreamKeys,
        limiter: ConcurrencyLimiter,
        dispatch: Callable[[Sequence[RawEntry]], object],
        take_up: Callable[[], Awaitable[None]],
        *,
        batch: int,
    ) -> None:
        """``batch``: the most entries of one read; ``take_up`` looks for what an answer that was lost had given us."""
        self._bus = bus
        self._keys = keys
        self._limiter = limiter
        self._dispatch = dispatch
        self._take_up = take_up
        self._batch = batch
        self._stopping = False
        self._client_id = 0
        self._connection: RedisConnection | None = None
        self._link = RedisLink(
            bus.topology,
            keys.stream,
            client_name=f"{bus.instance}:{keys.group}",
            patience=PATIENCE_SECONDS,
            greet=(("CLIENT", "ID"), INTRODUCE),
            on_greeting=self._greeted,
        )

    async def run(self) -> None:
        """Reads until ``stop``, through every outage."""
        backoff = Backoff(first=0.05, longest=0.5)
        try:
            while not self._stopping:
                room = min(self._batch, await self._limiter.room())
                if room <= 0 or self._stopping:
                    continue
                try:
                    connection = await self._joined()
                    answer = await connection.send(self._command(room))
                    if not answer and not self._stopping:
                        await self._show_up(connection)
                except (StoreUnavailable, CommandError) as error:
                    # NOGROUP and UNBLOCKED: the stream was deleted or flushed under us.
                    if backoff.fresh:
                        _log.warning("reading_interrupted", stream=self._keys.stream, reason=str(error))
                    if isinstance(error, CommandError):
                        self._connection = None
                        if error.code == "MOVED":
                            self._link.moved()
                    await backoff.sleep()
                    continue
                if not backoff.fresh:
                    backoff.reset()
                if answer:
                    self._dispatch(answer[0][1])
        finally:
            await self._link.stop()

    def stop(self) -> None:
        """Lets ``run`` return after the read that is under way."""
        self._stopping = True
        self._limiter.poke()

    async def unblock(self) -> None:
        """After ``stop``: a read that waits is ended by the server, as if its time were over."""
        if self._client_id:
            with suppress(StoreUnavailable, CommandError):
                connection = await self._bus.redis.connection_for(self._keys.stream)
                await connection.send(("CLIENT", "UNBLOCK", self._client_id))

    def _greeted(self, replies: list[Any]) -> None:
        self._client_id = replies[0] if isinstance(replies[0], int) else 0

    def _command(self, count: int) -> tuple[str | int, ...]:
        keys = self._keys
        return (
            "XREADGROUP", "GROUP", keys.group, self._bus.instance, "COUNT", count, "BLOCK", BLOCK_MS,
            "STREAMS", keys.stream, ">",
        )  # fmt: skip

    async def _joined(self) -> RedisConnection:
        """The connection, as a member of the group; what an answer that was lost had given to us comes first."""
        connection = self._link.connection
        if connection is None or not connection.is_open:
            connection = await self._link.ready()
        if connection is not self._connection:
            await self._join(connection)
            await self._take_up()
            self._connection = connection
        return connection

    async def _join(self, connection: RedisConnection) -> None:
        keys = self._keys
        try:
            await even_if_full(
                connection.send, ("XGROUP", "CREATE", keys.stream, keys.group, "0", "MKSTREAM")
            )
        except CommandError as error:
            if error.code != "BUSYGROUP":  # it is there already
                raise
        await self._show_up(connection)

    async def _show_up(self, connection: RedisConnection) -> None:
        """Is counted among the group's readers: before 7.2 Redis does not see a member that only waits."""
        keys = self._keys
        await connection.send(
            ("XREADGROUP", "GROUP", keys.group, self._bus.instance, "STREAMS", keys.stream, BEYOND_ALL)
        )


class ConcurrencyLimiter:
    """Entries being worked on, by id, and the batches among them.

    Few batches run at a time: while they do, the next one grows in the stream instead of in here. A slow one (it waits
    for a lock, say) no longer counts, so that it blocks nobody; only the slots bound the whole.
    """

    def __init__(self, slots: int, batches: int) -> None:
        """``batches``: how many young ones let no other begin; 0 where no handler takes batches."""
        self.held: dict[bytes, float] = {}
        self._slots = slots
        self._most_batches = batches
        self._young: dict[object, asyncio.TimerHandle] = {}
        self._changed: asyncio.Future[None] | None = None

    @property
    def free(self) -> int:
        """How many more entries may be taken."""
        return self._slots - len(self.held)

    def take(self, ids: Iterable[bytes]) -> None:
        """These are worked on now."""
        now = asyncio.get_running_loop().time()
        for entry_id in ids:
            self.held[entry_id] = now

    def drop(self, ids: Iterable[bytes]) -> None:
        """These are done with, or no longer ours."""
        for entry_id in ids:
            self.held.pop(entry_id, None)
        self.poke()

    def begin_batch(self) -> object:
        """A batch starts; give the token to ``end_batch``."""
        token = object()
        loop = asyncio.get_running_loop()
        self._young[token] = loop.call_later(FRESH_SECONDS, self.end_batch, token)
        return token

    def end_batch(self, token: object) -> None:
        """The handler of a batch has returned, or is slow."""
        slow = self._young.pop(token, None)
        if slow is not None:
            slow.cancel()
            self.poke()

    def held_since(self, moment: float) -> list[bytes]:
        """What has been in hand since before ``moment`` of the loop's clock."""
        return [entry_id for entry_id, since in self.held.items() if since <= moment]

    def poke(self) -> None:
        """Something changed: whoever waits for room looks again."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def room(self) -> int:
        """How many entries may be read now; waits once for a change where there is no room, and may then be 0."""
        room = self._room()
        if room > 0:
            return room
        self._changed = asyncio.get_running_loop().create_future()
        try:
            await self._changed
        finally:
            self._changed = None
        return self._room()

    def _room(self) -> int:
        return 0 if 0 < self._most_batches <= len(self._young) else self.free
