"""Rows of schema `auth` as domain objects, and constraint names as errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import orjson

from services.auth_api.clients.model import OPERATOR, Client
from shared.contracts.base import Event
from shared.database import Database

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record]

DIRECTORY: Final = Path(__file__).parent
QUERIES: Final = DIRECTORY / "queries.sql"
MIGRATIONS: Final = DIRECTORY / "migrations"
SCHEMA: Final = "auth"

OPERATOR_NAME: Final = "the operator of this site"
"""Who a client without an author belongs to, in words for the consent page."""
NOBODY_NAME: Final = "nobody known: the app registered itself"
"""The same for a client that a program registered (RFC 7591)."""


class UsernameTakenError(Exception):
    """Another account has this name, ignoring case."""


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
            "clients_id_taken": ClientIdTakenError,
            "grants_client": ClientGoneError,
        }.get(error.constraint_name or "")
        if known is None:
            raise
        raise known from error


def client_of(row: asyncpg.Record) -> Client:
    """A row of ``clients`` with its ``author_name``; columns that a newer migration added are left out."""
    author = OPERATOR if row["author_id"] is None else row["author_id"]
    author_name = row["author_name"] or (NOBODY_NAME if row["self_registered"] else OPERATOR_NAME)
    return Client.model_validate({**row, "author": author, "author_name": author_name}, extra="ignore")


async def insert_client(database: Database, connection: Connection, client: Client) -> None:
    """Adds a client.

    Raises:
        ClientIdTakenError: the id exists.
    """
    row = client.model_dump() | {
        "author_id": None if client.author == OPERATOR else client.author,
        "secret_digest": client.secret_digest,
    }
    with named_conflicts():
        await connection.execute(database.sql["insert_client"], orjson.dumps(row).decode())


async def write_event(database: Database, connection: Connection, event: Event, now: int) -> None:
    """Puts an event into the outbox of the running transaction."""
    await connection.execute(database.sql["insert_event"], event.stream, event.type, event.to_wire(), now)


async def write_audit(
    database: Database, connection: Connection, *, now: int, actor: str, action: str, subject: str
) -> None:
    """Notes in the running transaction who (``user:2``, ``operator``) did what to whom (``client:…``)."""
    await connection.execute(database.sql["insert_audit"], now, actor, action, subject)
