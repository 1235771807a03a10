"""`latchkey backup`: copies the database into a file."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from deploy.cli.postgres_failures import said_of_postgres
from shared.settings import load_settings

PATH = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
STANDARD = Path("-")


@click.command()
@click.argument("file", type=PATH, default=STANDARD)
def backup(file: Path) -> None:
    """Copy everything that lasts into FILE, or to stdout.

    As it is at one moment, while the services go on. Needs LATCHKEY_DATABASE_URL, or one for each service. A file that
    is there already is not overwritten. What is in it identifies people, but no password, code, key or secret: only
    digests of them are kept. `latchkey restore --verify FILE` proves that it is good.
    """
    settings = load_settings(need=frozenset({"auth_api_database_url", "key_issuer_database_url"}))
    from deploy.backup import take

    with _opened(file) as stream, said_of_postgres():
        foot = asyncio.run(take(settings, stream))
    rows = sum(total.rows for total in foot.sums.values())
    click.echo(f"Backed up {rows} rows of {len(foot.sums)} tables.", err=True)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """Stdout; or a file that appears under its name when it is whole, readable by its owner alone."""
    if file == STANDARD:
        if sys.stdout.isatty():
            raise click.UsageError("a backup is no text: name a FILE, or redirect stdout.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if file.exists():
        raise click.ClickException(f"{file} is there already, and is not overwritten.")
    draft = file.with_name(f"{file.name}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    draft.rename(file)
