"""Schema `auth`: where its files are, its constraints as errors, and what every change writes beside itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from shared.contracts.messages import Event
from shared.database import Database
from shared.telemetry.correlation import correlation

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record]

DIRECTORY: Final = Path(__file__).parent
QUERIES: Final = DIRECTORY / "queries.sql"
MIGRATIONS: Final = DIRECTORY / "migrations"
SCHEMA: Final = "auth"
OPERATOR: Final = "operator"
"""Who did it, in the audit, where it was a command of the operator's."""
COMMAND_LINE: Final = "cli"
"""From where, in the audit, such a command comes."""


class UsernameTakenError(Exception):
    """Another account has this name, ignoring case."""


class IdentityTakenError(Exception):
    """This identity has an account already."""


class ClientIdTakenError(Exception):
    """Another client has this id."""


class ClientGoneError(Exception):
    """The client was deleted meanwhile."""


@contextmanager
def named_conflicts() -> Iterator[None]:
    """Turns the violation of a named constraint into the error that it means."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        known = {
            "users_username_taken": UsernameTakenError,
            "external_identities_known": IdentityTakenError,
            "clients_id_taken": ClientIdTakenError,
            "grants_client": ClientGoneError,
        }.get(error.constraint_name or "")
        if known is None:
            raise
        raise known from error


async def write_event(database: Database, connection: Connection, event: Event, now: int) -> None:
    """Puts an event into the outbox of the running transaction."""
    await connection.execute(database.sql["insert_event"], event.stream, event.type, event.to_wire(), now)


async def write_audit(
    database: Database,
    connection: Connection,
    now: int,
    actor: str,
    action: str,
    subject: str,
    *,
    peer: str | None = None,
) -> None:
    """Notes in the running transaction who (``user:2``, ``operator``) did what to whom (``client:…``), and from where.

    What the operator does comes from the command line, and says so. For what strangers can repeat see ``audit``.
    """
    peer = COMMAND_LINE if actor == OPERATOR else peer
    request_id = correlation.get() or None
    await connection.execute(database.sql["insert_audit"], now, actor, action, subject, peer, request_id)
