"""Taking a backup: everything as it was at one moment, while the services go on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import IO, Final

import asyncpg

from deploy.backup.contents import SESSION, Connection, copy_out, sequences_of, steps_of, tables_of
from deploy.backup.errors import BackupError
from deploy.backup.file import Foot, Head, Sum, Writer
from deploy.schemas import SCHEMAS
from shared.settings import Settings
from shared.version import VERSION

CONNECT_SECONDS: Final = 10.0
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"


async def take(settings: Settings, stream: IO[bytes]) -> Foot:
    """Writes a backup of all schemas; what it counted. Reading blocks nobody, and needs no more than rights to read.

    Raises:
        BackupError: a schema is not there.
        OSError, asyncpg.PostgresError: the server is not there, or refuses.
    """
    async with AsyncExitStack() as stack:
        snapshots = _Snapshots(stack)
        readers = {schema.name: await snapshots.of(schema.url(settings)) for schema in SCHEMAS}
        migrations = {name: await steps_of(reader, name) for name, reader in readers.items()}
        missing = [name for name, steps in migrations.items() if not steps]
        if missing:
            raise BackupError(f"there is nothing to back up: no schema {' and '.join(missing)}")
        tables = [table for name, reader in readers.items() for table in await tables_of(reader, name)]
        head = Head(
            latchkey=VERSION,
            taken_on=time.time_ns() // 1_000_000,
            migrations=migrations,
            tables=tuple(tables),
        )
        writer = Writer(stream, head)
        sums: dict[str, Sum] = {}
        for table in tables:
            sums[table.full_name] = await copy_out(readers[table.schema_name], table, writer.rows)
            writer.end_table()
        # Last: sequences know no snapshots, and must not be behind the rows.
        sequences: dict[str, int | None] = {}
        for name, reader in readers.items():
            sequences |= await sequences_of(reader, name)
        foot = Foot(sums=sums, sequences=sequences)
        writer.end(foot)
        return foot


class _Snapshots:
    """One connection for each address, all with the same view where they lead to the same database."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._open: dict[str, Connection] = {}
        self._snapshot: str | None = None

    async def of(self, url: str) -> Connection:
        if url not in self._open:
            connection = await self._stack.enter_async_context(_connected(url))
            await connection.execute(_SNAPSHOT)
            if self._snapshot is None:
                self._snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            else:
                await self._join(connection)
            self._open[url] = connection
        return self._open[url]

    async def _join(self, connection: Connection) -> None:
        try:
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{self._snapshot}'")
        except asyncpg.PostgresError:
            # Another database: it has its own moment. The schemas meet by events alone, which are sent again.
            await connection.execute("ROLLBACK")
            await connection.execute(_SNAPSHOT)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(
        url, timeout=CONNECT_SECONDS, server_settings={"application_name": "latchkey-backup", **SESSION}
    )
    try:
        yield connection
    finally:
        await connection.close()
