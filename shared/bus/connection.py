"""Connections to Redis: one that gathers a process's commands into pipelines, one that blocks for a reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import redis.exceptions
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shared.bus.scripts import Script
from shared.errors import StoreUnavailable

ANSWER_SECONDS: Final = 2.8
CONNECT_SECONDS: Final = 2.0
LONGEST_PIPELINE: Final = 512
LANES: Final = 2

Argument = bytes | str | int | float
_Waiting = tuple[Sequence[Argument], asyncio.Future[Any]]


def new_connection(url: str) -> Connection:
    """A connection with every default of redis-py chosen here: no retries, no timeouts but ours, plain RESP2."""
    options: dict[str, Any] = dict(parse_url(url))
    kind: Any = options.pop("connection_class", Connection)
    connection: Connection = kind(
        **options,
        socket_timeout=None,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        retry_on_error=[],
        health_check_interval=0,
        decode_responses=False,
        protocol=2,
        driver_info=None,
    )
    return connection


def _unavailable(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable("redis", f"{type(error).__name__}: {error}")


# How a server that is loading, full, read-only or failing over begins its refusal of any command.
_NOT_NOW: Final = (
    "LOADING",
    "READONLY",
    "OOM",
    "MISCONF",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
)


def _is_outage(error: redis.exceptions.RedisError) -> bool:
    known = (
        redis.exceptions.BusyLoadingError,
        redis.exceptions.ReadOnlyError,
        redis.exceptions.OutOfMemoryError,
    )
    return isinstance(error, known) or str(error).startswith(_NOT_NOW)


class CoalescingRedis:
    """Commands of one loop tick leave as one pipeline; more gather while the pipelines before are under way.

    Every call ends within 3 s: with the answer, ``StoreUnavailable``, or the server's ``ResponseError``. An error
    does not mean that the command was not carried out; nothing is tried twice here.
    """

    def __init__(self, url: str, *, lanes: int = LANES) -> None:
        """Remembers where to connect; nothing is opened before the first command."""
        self._idle = [new_connection(url) for _ in range(lanes)]
        self._all = tuple(self._idle)
        self._waiting: deque[_Waiting] = deque()
        self._flush_planned = False
        self._running: set[asyncio.Task[None]] = set()

    def submit(self, *command: Argument) -> asyncio.Future[Any]:
        """Puts one command into the next pipeline; the future gives its answer with bytes for strings."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, future))
        if not self._flush_planned and self._idle:
            self._flush_planned = True
            loop.call_soon(self._flush)
        return future

    async def execute(self, *command: Argument) -> Any:
        """One command and its answer."""
        return await self.submit(*command)

    async def execute_many(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Several commands at once; errors of single ones stand in their places."""
        return await asyncio.gather(*(self.submit(*command) for command in commands), return_exceptions=True)

    async def run_script(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument]) -> Any:
        """Runs a script by its digest, handing it over where the server does not know it yet."""
        try:
            return await self.execute("EVALSHA", script.sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return await self.execute("EVAL", script.source, len(keys), *keys, *args)

    async def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless the server answers."""
        await self.execute("PING")

    async def close(self) -> None:
        """Waits for what is under way, then closes the connections."""
        if self._running:
            await asyncio.wait(self._running, timeout=ANSWER_SECONDS)
        self._refuse_waiting(StoreUnavailable("redis", "closed"))
        for connection in self._all:
            with suppress(Exception):
                await connection.disconnect(nowait=True)

    def _flush(self) -> None:
        self._flush_planned = False
        while self._waiting and self._idle:
            size = min(len(self._waiting), LONGEST_PIPELINE)
            batch = [self._waiting.popleft() for _ in range(size)]
            task = asyncio.create_task(self._exchange(self._idle.pop(), batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _exchange(self, connection: Connection, batch: list[_Waiting]) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._send_and_read(connection, batch)
        except Exception as error:  # noqa: BLE001 - whatever broke the connection fails what waits for it
            with suppress(Exception):
                await connection.disconnect(nowait=True)
            unavailable = _unavailable(error)
            for _command, future in batch:
                if not future.done():
                    future.set_exception(unavailable)
            self._refuse_waiting(unavailable)
        finally:
            self._idle.append(connection)
            self._flush()

    async def _send_and_read(self, connection: Connection, batch: list[_Waiting]) -> None:
        if not connection.is_connected:
            await connection.connect()  # type: ignore[no-untyped-call]
        packed = connection.pack_commands([command for command, _future in batch])
        await connection.send_packed_command(packed, check_health=False)
        for _command, future in batch:
            try:
                answer = await connection.read_response(disconnect_on_error=False)
            except (redis.exceptions.ResponseError, redis.exceptions.BusyLoadingError) as error:
                _settle(future, _unavailable(error) if _is_outage(error) else error)
            else:
                if not future.done():
                    future.set_result(answer)

    def _refuse_waiting(self, error: StoreUnavailable) -> None:
        while self._waiting:
            _settle(self._waiting.popleft()[1], error)


def _settle(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class BlockingRedis:
    """A connection of one reader's own, for commands that wait on the server."""

    def __init__(self, url: str) -> None:
        """Remembers where to connect."""
        self._connection = new_connection(url)

    async def execute(self, *command: Argument, wait_seconds: float = 0) -> Any:
        """One command that may wait ``wait_seconds`` on the server; raises ``StoreUnavailable`` some seconds later."""
        try:
            async with asyncio.timeout(wait_seconds + ANSWER_SECONDS):
                if not self._connection.is_connected:
                    await self._connection.connect()  # type: ignore[no-untyped-call]
                await self._connection.send_command(*command, check_health=False)
                return await self._connection.read_response(disconnect_on_error=False)
        except redis.exceptions.ResponseError as error:
            if _is_outage(error):
                raise _unavailable(error) from None
            raise
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            await self.close()
            raise _unavailable(error) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes the connection; the next command opens it anew."""
        with suppress(Exception):
            await self._connection.disconnect(nowait=True)
