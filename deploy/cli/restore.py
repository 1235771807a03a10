"""`latchkey restore`: fills an empty database from a backup, or verifies one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from deploy.cli.backup import PATH, STANDARD
from deploy.cli.postgres_failures import said_of_postgres
from shared.settings import load_settings
from shared.telemetry.logs import configure_logging


@click.command()
@click.argument("file", type=PATH)
@click.option(
    "--verify", is_flag=True, help="Only prove that FILE can be restored; touches no database of yours."
)
def restore(*, file: Path, verify: bool) -> None:
    """Fill an empty database from a backup in FILE (- for stdin).

    Stop the services before. The database must hold no rows: nothing is ever overwritten. Everything is filled in in
    one transaction, and compared with the backup's own counts and sums before it is committed; then missing migrations
    are applied. Needs the LATCHKEY_DATABASE_URL of the role that owns the schemas.

    With --verify the same is done in a PostgreSQL that is made for it and removed again; for each table the number of
    rows is printed.
    """
    from deploy.backup import rehearse
    from deploy.backup import restore as fill

    if verify:
        configure_logging(level="error", log_format="console", service="cli")
        with _opened(file) as stream, said_of_postgres():
            foot = asyncio.run(rehearse(stream))
        for table, total in foot.sums.items():
            click.echo(f"{table}  {total.rows}")
        click.echo("The backup is good: it was restored, and every row matches.", err=True)
        return
    settings = load_settings(need=frozenset({"auth_api_database_url", "key_issuer_database_url"}))
    with _opened(file) as stream, said_of_postgres():
        foot = asyncio.run(fill(settings, stream))
    rows = sum(total.rows for total in foot.sums.values())
    click.echo(f"Restored {rows} rows of {len(foot.sums)} tables.", err=True)
    click.echo(
        "Empty Redis before you start the services: its sessions and codes are of another time.", err=True
    )


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    if file == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    with stream:
        yield stream
