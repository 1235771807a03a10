"""Schema migrations: append-only ``NNNN_name.sql`` files, applied once each, safely while services run."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_SCHEMA_NAME: Final = re.compile(r"[a-z_]{1,30}")
# A lock that is not had in this time would queue up the traffic behind it: better to fail and be run again.
_LOCK_TIMEOUT: Final = "3s"
_STATEMENT_TIMEOUT: Final = "60s"
_ADVISORY_LOCK: Final = 0x4C4B4D49


class MigrationError(Exception):
    """The migrations cannot be applied; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number, file name and SQL."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL, kept beside the applied number to notice an edited file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(directory: Path) -> tuple[Migration, ...]:
    """The steps of a directory in their order.

    Raises:
        MigrationError: a number is missing or there twice.
    """
    steps = []
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: migrations are called NNNN_name.sql")
        steps.append(Migration(int(match[1]), path.name, path.read_text(encoding="utf-8")))
    if [step.number for step in steps] != list(range(1, len(steps) + 1)):
        raise MigrationError(f"{directory}: numbers must run from 0001 without a gap")
    return tuple(steps)


async def migrate(url: str, schema: str, directory: Path, *, last: int | None = None) -> tuple[str, ...]:
    """Brings one schema up to date, or up to the step of the number ``last``; the names of the steps applied now.

    Two that run at once wait for one another; each step is one transaction with lock and statement timeouts.

    Raises:
        MigrationError: an applied file was edited, or a step failed.
    """
    steps = load_migrations(directory)
    connection = await asyncpg.connect(
        url, timeout=10, server_settings={"application_name": "latchkey-migrate"}
    )
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK)
        await _prepare_schema(connection, schema)
        todo = await _unapplied(connection, schema, steps[:last])
        for step in todo:
            await _apply(connection, schema, step)
        return tuple(step.name for step in todo)
    finally:
        await connection.close()


async def pending(
    connection: asyncpg.Connection[asyncpg.Record], schema: str, directory: Path
) -> tuple[str, ...]:
    """The names of the steps that a schema still lacks."""
    steps = load_migrations(directory)
    if await connection.fetchval("SELECT to_regclass($1)", f"{_checked(schema)}.migrations") is None:
        return tuple(step.name for step in steps)
    return tuple(step.name for step in await _unapplied(connection, schema, steps))


async def _prepare_schema(connection: asyncpg.Connection[asyncpg.Record], schema: str) -> None:
    name = _checked(schema)
    if not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", name):
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")
    await connection.execute(
        f"CREATE TABLE IF NOT EXISTS {name}.migrations ("
        "number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
        " applied_on timestamptz NOT NULL DEFAULT now())"
    )


async def _unapplied(
    connection: asyncpg.Connection[asyncpg.Record], schema: str, steps: tuple[Migration, ...]
) -> tuple[Migration, ...]:
    rows = await connection.fetch(f"SELECT number, checksum FROM {_checked(schema)}.migrations")  # noqa: S608 - checked name
    applied = {row["number"]: row["checksum"] for row in rows}
    for step in steps:
        if step.number in applied and applied[step.number] != step.checksum:
            raise MigrationError(f"{schema}: {step.name} was edited after it had been applied")
    return tuple(step for step in steps if step.number not in applied)


async def _apply(connection: asyncpg.Connection[asyncpg.Record], schema: str, step: Migration) -> None:
    name = _checked(schema)
    try:
        async with connection.transaction():
            await connection.execute(
                f"SET LOCAL search_path = {name}; SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}';"
                f" SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'"
            )
            await connection.execute(step.sql)
            await connection.execute(
                f"INSERT INTO {name}.migrations (number, name, checksum) VALUES ($1, $2, $3)",  # noqa: S608 - checked name
                step.number,
                step.name,
                step.checksum,
            )
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{schema}: {step.name} failed: {error}") from error


def _checked(schema: str) -> str:
    if not _SCHEMA_NAME.fullmatch(schema):
        raise MigrationError(f"{schema!r} is no schema name")
    return schema
