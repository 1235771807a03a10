"""One socket to Redis: commands of a loop tick leave together, replies come back in order, silence ends it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

import hiredis

from shared.errors import StoreUnavailable
from shared.redis.errors import CommandError, error_of
from shared.redis.url import RedisAddress

TICK_SECONDS: Final = 0.25
CONNECT_SECONDS: Final = 1.0
ENOUGH: Final = 16
"""So many commands leave before the tick of the event loop ends: a busy process would else have its peers wait for all
of them and then be idle itself, while they work off the whole convoy."""
MOST_IN_FLIGHT: Final = 20_000
BECAME_REPLICA: Final = "the server has become a replica"

Argument = str | bytes | int
Sink = asyncio.Future[Any]
_MORE: Final = object()


class RedisConnection(asyncio.Protocol):
    """A connected socket. Every method belongs to the loop that made it.

    A command is answered, or the connection ends and every waiting command gets ``StoreUnavailable``: nobody then
    knows whether it was carried out. Nothing is ever sent twice from here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        """``patience``: seconds without any reply after which a server that owes one counts as gone."""
        self.closed: asyncio.Future[str] = loop.create_future()
        """Has the reason, once it is."""
        self.is_open = True
        """Whether commands may be sent."""
        self.on_redirect: Callable[[], None] | None = None
        """Told when a node of a cluster says that a key is elsewhere."""
        self._loop = loop
        self._reader = hiredis.Reader(
            protocolError=ConnectionError, replyError=CommandError, notEnoughData=_MORE
        )
        self._sinks: deque[Sink | None] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        # Ticks are counted, not seconds: a process that was stopped for a while does not blame the server.
        self._patient_ticks = max(1, round(patience / TICK_SECONDS))
        self._silent_ticks = 0
        self._ticker: asyncio.TimerHandle | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)

    def data_received(self, data: bytes) -> None:
        """Hands each complete reply to the command that has waited longest."""
        self._silent_ticks = 0
        reader, sinks = self._reader, self._sinks
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _MORE:
                sink = sinks.popleft()
                if isinstance(reply, CommandError):
                    self._refused(reply, sink)
                elif sink is not None and not sink.done():
                    sink.set_result(reply)
        except (ConnectionError, IndexError):
            self.abort("the answer was not RESP")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._end(type(exc).__name__ if exc else "connection closed")

    # What we call.

    def send(self, command: Sequence[Argument]) -> Sink:
        """Queues a command for the next write; the future gets its reply or ``StoreUnavailable``."""
        sink: Sink = self._loop.create_future()
        self.write(pack(command), (sink,))
        return sink

    def send_all(self, commands: Sequence[Sequence[Argument]]) -> list[Sink]:
        """``send`` for many, in one write."""
        sinks: list[Sink] = [self._loop.create_future() for _ in commands]
        self.write(b"".join(map(pack, commands)), sinks)
        return sinks

    def write(self, packed: bytes, sinks: Iterable[Sink | None]) -> None:
        """Queues packed commands, with a sink for each; ``None`` for a reply that nobody wants."""
        if self.closed.done() or len(self._sinks) > MOST_IN_FLIGHT:
            reason = "connection closed" if self.closed.done() else "too many commands wait for answers"
            _fail(sinks, reason)
            return
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        self._sinks.extend(sinks)
        if len(self._outgoing) >= ENOUGH:
            self._flush()

    def abort(self, reason: str) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def _refused(self, reply: CommandError, sink: Sink | None) -> None:
        if self.on_redirect is not None and reply.code in ("MOVED", "ASK"):
            self.on_redirect()
        if sink is not None and not sink.done():
            sink.set_exception(error_of(reply))
        if reply.code == "READONLY":  # it was the primary when we came
            self.abort(BECAME_REPLICA)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self._transport is not None and not self.closed.done():
            self._transport.write(b"".join(outgoing))

    def _tick(self) -> None:
        self._silent_ticks = self._silent_ticks + 1 if self._sinks else 0
        if self._silent_ticks > self._patient_ticks:
            self.abort("no answer in time")
        elif not self.closed.done():
            self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)

    def _end(self, reason: str) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self.is_open = False
        if not self.closed.done():
            self.closed.set_result(reason)
        sinks, self._sinks = self._sinks, deque()
        _fail(sinks, reason)


def pack(command: Sequence[Argument]) -> bytes:
    """A command as Redis reads it."""
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # its types allow one word only
    return packed


def _fail(sinks: Iterable[Sink | None], reason: str) -> None:
    for sink in sinks:
        if sink is not None and not sink.done():
            sink.set_exception(StoreUnavailable("redis", reason))


async def connect(
    address: RedisAddress, *, client_name: str, patience: float, greet: Sequence[tuple[Argument, ...]] = ()
) -> tuple[RedisConnection, list[Any]]:
    """A connection that is logged in, and the replies to ``greet`` (refusals as ``CommandError``); within a second.

    Raises:
        StoreUnavailable: no server, no answer, wrong password, or a server that is still loading.
    """
    loop = asyncio.get_running_loop()

    def make() -> RedisConnection:
        return RedisConnection(loop, patience)

    login = address.login()
    commands: list[tuple[Argument, ...]] = [login] if login else []
    if address.database:
        commands.append(("SELECT", address.database))
    greetings = [("CLIENT", "SETNAME", client_name), *greet]
    connection: RedisConnection | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await _open(loop, address, make)
            sinks = [connection.send(command) for command in (*commands, *greetings)]
            # All of them at once: none is left behind with an error that nobody hears, where the time is up.
            answers = await asyncio.gather(*sinks, return_exceptions=True)
            needed, replies = answers[: len(commands)], answers[len(commands) :]
            for answer in needed:
                _raise_refusal(answer)
            for reply in replies:
                _raise_outage(reply)
    except (OSError, TimeoutError, CommandError) as error:
        if connection is not None:
            connection.abort("not logged in")
        said = str(error) if isinstance(error, CommandError) else type(error).__name__
        raise StoreUnavailable("redis", f"cannot connect: {said}") from error
    except BaseException:
        if connection is not None:
            connection.abort("not logged in")
        raise
    return connection, list(replies[1:])


def _raise_refusal(answer: object) -> None:
    if isinstance(answer, BaseException):
        raise answer


def _raise_outage(reply: object) -> None:
    if isinstance(reply, BaseException) and not isinstance(reply, CommandError):
        raise reply


async def _open(
    loop: asyncio.AbstractEventLoop, address: RedisAddress, make: Callable[[], RedisConnection]
) -> RedisConnection:
    if address.path is not None:
        _, connection = await loop.create_unix_connection(make, address.path)
    else:
        _, connection = await loop.create_connection(make, address.host, address.port, ssl=address.tls)
    return connection
