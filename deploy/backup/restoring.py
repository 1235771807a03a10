"""Restoring a backup: into an empty database, in one transaction, and checked before it is committed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import IO, Final

import asyncpg

from deploy.backup.contents import SESSION, Connection, check_names, copy_out, is_empty, steps_of, tables_of
from deploy.backup.errors import BackupError
from deploy.backup.file import Foot, Head, Reader, Table
from deploy.backup.taking import CONNECT_SECONDS
from deploy.schemas import SCHEMAS, Schema, migrate_all
from shared.migrations import load_migrations, migrate
from shared.settings import Settings

LEAP: Final = 1_000_000
"""By how much sequences are put forward: the numbers that people got after the backup was taken are known to programs
and to sessions, and must not come to mean somebody else."""


async def restore(settings: Settings, stream: IO[bytes]) -> Foot:
    """Fills an empty database from a backup and brings it up to date; what the backup counted.

    The schemas are migrated as far as the backup's were, filled, compared with its sums, committed, and only then
    migrated as far as this release knows.

    Raises:
        BackupError: the backup is no good, the database is not empty, or they do not fit. Nothing was filled in.
        OSError, asyncpg.PostgresError: the server is not there, or refuses.
    """
    reader = Reader(stream)
    for schema in SCHEMAS:
        await _bring_to(reader.head, schema, schema.url(settings))
    async with AsyncExitStack() as stack:
        writers = await _open(stack, {schema.name: schema.url(settings) for schema in SCHEMAS})
        await _claim(writers, reader.head)
        foot = await _fill(writers, reader)
    async for _ in migrate_all(settings):
        pass
    await _analyze(settings)
    return foot


async def _bring_to(head: Head, schema: Schema, url: str) -> None:
    """Migrates a schema just as far as the backup's was."""
    wanted = head.migrations.get(schema.name, ())
    known = load_migrations(schema.migrations)
    if [step.checksum for step in wanted] != [step.checksum for step in known[: len(wanted)]] or not wanted:
        raise BackupError(
            f"the backup was taken by Latchkey {head.latchkey}, whose schema {schema.name} this release does not know:"
            " restore it with that one or a later one"
        )
    connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        applied = await steps_of(connection, schema.name)
    finally:
        await connection.close()
    if len(applied) > len(wanted):
        raise BackupError(
            f"the schema {schema.name} is at {applied[-1].name}, the backup at {wanted[-1].name}: give a database that"
            " was not migrated yet, restoring does it"
        )
    await migrate(url, schema.name, schema.migrations, last=len(wanted))


async def _open(stack: AsyncExitStack, urls: dict[str, str]) -> dict[str, Connection]:
    """A connection in a transaction for each schema; one for all that share an address."""
    by_url = {url: await stack.enter_async_context(_transaction(url)) for url in dict.fromkeys(urls.values())}
    return {name: by_url[url] for name, url in urls.items()}


@asynccontextmanager
async def _transaction(url: str) -> AsyncIterator[Connection]:
    settings = {"application_name": "latchkey-restore", "lock_timeout": "3s", **SESSION}
    connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=settings)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


async def _claim(writers: dict[str, Connection], head: Head) -> None:
    """Locks every table, and makes sure that they are the backup's and that there is nothing in them."""
    for name, connection in writers.items():
        tables = await tables_of(connection, name)
        check_names(tables, [table for table in head.tables if table.schema_name == name])
        for table in tables:
            await connection.execute(f"LOCK TABLE {table.full_name} IN ACCESS EXCLUSIVE MODE")
            if not await is_empty(connection, table):
                raise BackupError(
                    f"{table.full_name} holds rows: only an empty database is filled, none is overwritten"
                )


async def _fill(writers: dict[str, Connection], reader: Reader) -> Foot:
    for table in reader.head.tables:
        connection = writers[table.schema_name]
        await connection.copy_to_table(
            table.name,
            schema_name=table.schema_name,
            columns=table.columns,
            source=_pieces(reader.rows()),
            format="text",
        )
    foot = reader.foot()
    for table in reader.head.tables:
        await _compare(writers[table.schema_name], table, foot)
    for sequence, last in foot.sequences.items():
        connection = writers[sequence.partition(".")[0]]
        await connection.execute("SELECT setval($1::text::regclass, $2)", sequence, (last or 0) + LEAP)
    return foot


async def _pieces(rows: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in rows:
        yield piece


async def _compare(connection: Connection, table: Table, foot: Foot) -> None:
    """What is in the table now is what was in it when the backup was taken."""
    written, noted = await copy_out(connection, table), foot.sums.get(table.full_name)
    if written != noted:
        count = "?" if noted is None else noted.rows
        raise BackupError(
            f"{table.full_name} does not match: {written.rows} rows, {count} when it was backed up"
        )


async def _analyze(settings: Settings) -> None:
    """Tells the planner what is there, before the services ask."""
    for schema in SCHEMAS:
        connection = await asyncpg.connect(schema.url(settings), timeout=CONNECT_SECONDS)
        try:
            for table in await tables_of(connection, schema.name):
                await connection.execute(f"ANALYZE {table.full_name}")
        finally:
            await connection.close()
