"""Looks at PostgreSQL with a service's own role: reachable, durable, migrated, and seeing no more than its schema."""

from __future__ import annotations

import time
from typing import Any, Final

import asyncpg

from deploy.doctor.findings import Notes
from deploy.doctor.standbys import examine_standbys
from deploy.schemas import SCHEMAS, Schema
from shared.migrations import MigrationError, pending

_CONNECT_SECONDS: Final = 3
_STATEMENT_SECONDS: Final = 5
_OLDEST: Final = 140_000
_SKEW_MS: Final = 2_000
_NEARLY_FULL: Final = 0.8

_SERVER: Final = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit, pg_is_in_recovery() AS replica,
    current_setting('max_connections')::int AS most,
    (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL) AS used
"""
_ROLE: Final = """
SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,
    ARRAY(
        SELECT name FROM unnest(ARRAY['pg_read_all_data', 'pg_write_all_data', 'pg_execute_server_program',
            'pg_read_server_files', 'pg_write_server_files']) AS name
        WHERE pg_has_role(current_user, name, 'MEMBER')
    ) AS powers
FROM pg_roles WHERE rolname = current_user
"""
_FOREIGN: Final = """
SELECT nspname FROM pg_namespace
WHERE nspname = ANY($1) AND (
    has_schema_privilege(nspname, 'USAGE') OR has_schema_privilege(nspname, 'CREATE')
    OR EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_namespace.oid AND relkind IN ('r', 'p', 'v')
        AND has_table_privilege(pg_class.oid, 'SELECT'))
)
"""


async def examine_postgres(schema: Schema, url: str) -> Notes:
    """The findings for one service's schema, seen with that service's role."""
    notes = Notes(f"postgres ({schema.service})")
    variable = f"LATCHKEY_{schema.service.upper()}_DATABASE_URL"
    if not url:
        notes.unknown("server", "not configured", f"Set {variable}.")
        return notes
    try:
        started = time.perf_counter()
        connection = await asyncpg.connect(
            url,
            timeout=_CONNECT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
            server_settings={"application_name": "latchkey-doctor"},
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        reason = str(error) or type(error).__name__
        notes.problem(
            "server",
            f"not reachable: {reason}",
            f"Start PostgreSQL, or mend {variable} (host, password, database).",
        )
        return notes
    notes.ok("server", f"connected in {(time.perf_counter() - started) * 1000:.1f} ms")
    try:
        server = await connection.fetchrow(_SERVER)
        assert server is not None
        _examine_server(notes, server)
        await examine_standbys(notes, connection)
        await _examine_clock(notes, connection)
        await _examine_migrations(notes, connection, schema)
        await _examine_role(notes, connection, schema)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        notes.problem(
            "server", f"went away or refused: {error}", "See PostgreSQL's log, then run this again."
        )
    finally:
        connection.terminate()
    return notes


def _examine_server(notes: Notes, server: Any) -> None:
    notes.judge(
        "version",
        server["version"],
        good=server["number"] >= _OLDEST,
        advice="Upgrade to PostgreSQL 15 or later.",
    )
    for setting in ("fsync", "full_page_writes"):
        notes.judge(
            setting,
            server[setting],
            good=server[setting] == "on",
            advice=f"Set `{setting} = on`: a crash may lose or break keys.",
        )
    commit = server["synchronous_commit"]
    notes.judge(
        "synchronous_commit",
        commit,
        good=commit != "off",
        advice="Set `synchronous_commit = on`: a key handed out or revoked must survive a crash.",
    )
    notes.judge(
        "primary",
        "no, a replica" if server["replica"] else "yes",
        good=not server["replica"],
        advice="Point the URL at the primary: a replica takes no writes.",
    )
    detail = f"{server['used']} of {server['most']} in use"
    if server["used"] > server["most"] * _NEARLY_FULL:
        notes.warning(
            "connections", detail, "Raise `max_connections`: each process of a service holds up to 8."
        )
    else:
        notes.ok("connections", detail)


async def _examine_clock(notes: Notes, connection: asyncpg.Connection[asyncpg.Record]) -> None:
    before = time.time()
    there = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    skew = round((there - (before + time.time()) / 2) * 1000)
    notes.judge(
        "clock", f"{skew:+d} ms from here", good=abs(skew) < _SKEW_MS, advice="Let both machines follow NTP."
    )


async def _examine_migrations(
    notes: Notes, connection: asyncpg.Connection[asyncpg.Record], schema: Schema
) -> None:
    try:
        missing = await pending(connection, schema.name, schema.migrations)
    except MigrationError as error:
        notes.problem("migrations", str(error), "Run the version of Latchkey that this database belongs to.")
        return
    except asyncpg.InsufficientPrivilegeError:
        notes.problem(
            "migrations",
            f"this role may not read the schema {schema.name}",
            "Run deploy/postgres/sql/roles.sql again.",
        )
        return
    notes.judge(
        "migrations",
        f"missing: {', '.join(missing)}" if missing else f"schema {schema.name} is up to date",
        good=not missing,
        advice="Run `latchkey migrate`; it is safe while the services run.",
    )


async def _examine_role(notes: Notes, connection: asyncpg.Connection[asyncpg.Record], schema: Schema) -> None:
    role = await connection.fetchrow(_ROLE)
    assert role is not None
    powers = [
        name[3:]
        for name in ("rolsuper", "rolcreaterole", "rolcreatedb", "rolbypassrls", "rolreplication")
        if role[name]
    ]
    powers += role["powers"]
    others = [other.name for other in SCHEMAS if other.name != schema.name]
    foreign = [row["nspname"] for row in await connection.fetch(_FOREIGN, others)]
    advice = "Give each service a role of its own: deploy/postgres/sql/roles.sql makes them."
    if powers:
        notes.warning("role", f"{role['rolname']} is more than a service needs: {', '.join(powers)}", advice)
    if foreign:
        notes.warning(
            "role", f"{role['rolname']} sees the schema {', '.join(foreign)} of another service", advice
        )
    if not powers and not foreign:
        notes.ok("role", f"{role['rolname']} sees the schema {schema.name} alone")
