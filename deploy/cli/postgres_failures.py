"""What a command that works on PostgreSQL itself says when that fails."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import click


@contextmanager
def said_of_postgres() -> Iterator[None]:
    """What PostgreSQL refuses, or that it cannot be reached, in a line."""
    try:
        yield
    except TimeoutError as error:
        raise click.ClickException("PostgreSQL does not answer.") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError, socket.gaierror) as error:
        raise click.ClickException(f"PostgreSQL: {error}") from error
