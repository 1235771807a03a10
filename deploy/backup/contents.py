"""What a schema holds: its tables in an order in which they can be filled, its sequences, its migrations, its rows."""

from __future__ import annotations

from collections.abc import Callable
from graphlib import TopologicalSorter
from typing import Final, TypeAlias

import asyncpg

from deploy.backup.errors import BackupError
from deploy.backup.file import RowSum, Step, Sum, Table

MIGRATIONS: Final = "migrations"
"""Not part of the rows: where a backup goes, migrations are applied, not copied."""
SESSION: Final = {"timezone": "UTC", "datestyle": "ISO", "bytea_output": "hex", "extra_float_digits": "1"}
"""Under which rows read the same wherever they are."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_COLUMNS: Final = """
SELECT class.relname AS name, array_agg(attribute.attname::text ORDER BY attribute.attnum) AS columns
FROM pg_class AS class
JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid
WHERE class.relnamespace = $1::text::regnamespace AND class.relkind IN ('r', 'p') AND NOT class.relispartition
    AND attribute.attnum > 0 AND NOT attribute.attisdropped AND attribute.attgenerated = ''
GROUP BY class.relname
"""
_REFERENCES: Final = """
SELECT child.relname AS child, parent.relname AS parent
FROM pg_constraint AS reference
JOIN pg_class AS child ON child.oid = reference.conrelid
JOIN pg_class AS parent ON parent.oid = reference.confrelid
WHERE reference.contype = 'f' AND child.relnamespace = $1::text::regnamespace AND child.oid <> parent.oid
"""
_SEQUENCES: Final = "SELECT sequencename AS name, last_value FROM pg_sequences WHERE schemaname = $1"


async def tables_of(connection: Connection, schema: str) -> list[Table]:
    """The tables of a schema; one that refers to another comes after it."""
    rows = await connection.fetch(_COLUMNS, schema)
    columns = {row["name"]: row["columns"] for row in rows if row["name"] != MIGRATIONS}
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(sorted(columns), ()))
    for row in await connection.fetch(_REFERENCES, schema):
        order.add(row["child"], row["parent"])
    return [
        Table(schema_name=schema, name=name, columns=tuple(columns[name])) for name in order.static_order()
    ]


async def sequences_of(connection: Connection, schema: str) -> dict[str, int | None]:
    """``schema.sequence`` → the last number it gave."""
    rows = await connection.fetch(_SEQUENCES, schema)
    return {f"{schema}.{row['name']}": row["last_value"] for row in rows}


async def steps_of(connection: Connection, schema: str) -> tuple[Step, ...]:
    """The migrations that a schema has had; none where it is not there."""
    if await connection.fetchval("SELECT to_regclass($1)", f"{schema}.{MIGRATIONS}") is None:
        return ()
    rows = await connection.fetch(
        f"SELECT number, name, checksum FROM {schema}.{MIGRATIONS} ORDER BY number"  # noqa: S608 - our own names
    )
    return tuple(Step(**dict(row)) for row in rows)


async def copy_out(connection: Connection, table: Table, sink: Callable[[bytes], None] | None = None) -> Sum:
    """Reads all rows of a table; ``sink`` gets them as COPY writes them."""
    total = RowSum()

    async def take(piece: bytes) -> None:
        total.add(piece)
        if sink is not None:
            sink(piece)

    await connection.copy_from_table(
        table.name, schema_name=table.schema_name, columns=table.columns, output=take, format="text"
    )
    return total.result()


async def is_empty(connection: Connection, table: Table) -> bool:
    """Whether a table has no rows."""
    found = await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table.full_name})")  # noqa: S608 - our own names
    return not found


def check_names(tables: list[Table], expected: list[Table]) -> None:
    """Raises ``BackupError`` unless both are the same tables with the same columns."""
    here, there = ({table.full_name: set(table.columns) for table in each} for each in (tables, expected))
    if here != there:
        differing = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
        raise BackupError(f"the database's tables are not those of the backup: {', '.join(differing)}")
