"""PostgreSQL: named queries from files, a pool that survives outages, and errors the services can name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from shared.errors import StoreUnavailable
from shared.telemetry.tracing import NO_TRACES, Tracer

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Queries = Mapping[str, str]
"""Query name → SQL."""

CONNECT_SECONDS: Final = 2.0
STATEMENT_SECONDS: Final = 2.8
ACQUIRE_SECONDS: Final = 2.8
WARM_CONNECTIONS: Final = 4

_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
_NAME_LINE: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)

# What a connection that is going away, a server that is starting or stopping, or a full server says.
_OUTAGES: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresIOError,
    # Of a statement that timed out and whose cancellation did: the connection does not know any more where it is.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_NOT_MIGRATED: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedObjectError,
)


def load_queries(path: Path) -> Queries:
    """Reads ``-- name: x`` blocks, each followed by a line of purpose, from a ``.sql`` file.

    Raises:
        ValueError: a name is given twice, or a block lacks its line of purpose.
    """
    pieces = _NAME_LINE.split(path.read_text(encoding="utf-8"))
    queries: dict[str, str] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        sql = body.strip()
        if name in queries or not sql.startswith("-- "):
            raise ValueError(f"{path.name}: query {name} is there twice or lacks its line of purpose")
        queries[name] = sql
    return MappingProxyType(queries)


@contextmanager
def _named_outages() -> Iterator[None]:
    try:
        yield
    except _NOT_MIGRATED as error:
        # A server that runs but was not migrated yet is, to a caller, a store that is not ready.
        raise StoreUnavailable("postgres", f"not migrated: {error}") from error
    except _OUTAGES as error:
        raise StoreUnavailable("postgres", f"{type(error).__name__}: {error}") from error


async def _keep_session(_connection: object) -> None:
    """Between borrowers: asyncpg rolls back what is open; nothing here sets session state, so no round trip."""


async def _or_close(connection: PoolConnectionProxy[asyncpg.Record], step: Awaitable[None]) -> None:
    """Begins or ends a transaction; where that is cut short, the connection is not lent again with one still open."""
    try:
        await step
    except BaseException:
        connection.terminate()
        raise


class Database:
    """One schema of one PostgreSQL, through a pool that is made on first use and remade after outages.

    Every method raises ``StoreUnavailable`` within 3 s while the server is away, refuses or does not answer;
    integrity errors pass through for the repository to name.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str,
        queries: Queries,
        application_name: str,
        pool_size: int = 8,
        parameters: Mapping[str, str] = _NO_PARAMETERS,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        """Remembers where to connect; nothing is opened yet. ``parameters`` are set on every connection.

        ``tracer`` is told of each transaction and each named query, by name and never with its values.
        """
        self.sql = queries
        self.schema = schema
        self._url = url
        self._application_name = application_name
        self._pool_size = pool_size
        self._parameters = parameters
        self._tracer = tracer if tracer.enabled else None
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def start(self) -> None:
        """Opens some connections if the server answers; otherwise the first calls that need them will.

        A process that replaces another meets its full load at once: opening connections only then costs seconds.
        """
        with suppress(StoreUnavailable):
            await asyncio.gather(*(self.ping() for _ in range(min(WARM_CONNECTIONS, self._pool_size))))

    async def stop(self) -> None:
        """Closes the pool, waiting up to 5 s for running statements."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), 5)
            except TimeoutError:
                pool.terminate()

    async def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless the server answers a trivial statement."""
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    @asynccontextmanager
    async def connection(self, operation: str = "") -> AsyncIterator[PoolConnectionProxy[asyncpg.Record]]:
        """A connection whose statements commit one by one. ``operation`` names what it is for, where that is traced."""
        with (
            nullcontext() if self._tracer is None else self._tracer.statement(operation, self.schema),
            _named_outages(),
        ):
            pool = await self._open_pool()
            async with pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                try:
                    yield connection
                except asyncpg.InternalClientError:
                    connection.terminate()
                    raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PoolConnectionProxy[asyncpg.Record]]:
        """A connection inside one READ COMMITTED transaction: committed at the end, rolled back on any error."""
        async with self.connection("transaction") as connection:
            transaction = connection.transaction()
            await _or_close(connection, transaction.start())
            try:
                yield connection
            except BaseException:
                await _or_close(connection, transaction.rollback())
                raise
            await _or_close(connection, transaction.commit())

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """All rows of a named query."""
        async with self.connection(query) as connection:
            return await connection.fetch(self.sql[query], *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """The first row of a named query, or ``None``."""
        async with self.connection(query) as connection:
            return await connection.fetchrow(self.sql[query], *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row of a named query, or ``None``."""
        async with self.connection(query) as connection:
            return await connection.fetchval(self.sql[query], *args)

    async def execute(self, query: str, *args: object) -> str:
        """Runs a named query; the server's status line, like ``UPDATE 3``."""
        async with self.connection(query) as connection:
            return await connection.execute(self.sql[query], *args)

    async def _open_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is not None:
            return self._pool
        async with self._opening:
            if self._pool is None:
                pool = asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._pool_size,
                    timeout=CONNECT_SECONDS,
                    command_timeout=STATEMENT_SECONDS,
                    max_inactive_connection_lifetime=300,
                    reset=_keep_session,
                    server_settings={
                        "application_name": self._application_name,
                        "search_path": self.schema,
                        "timezone": "UTC",
                        **self._parameters,
                    },
                )
                self._pool = await pool
        return self._pool
