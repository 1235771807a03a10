"""`latchkey migrate`: brings the database schemas up to date."""

from __future__ import annotations

import asyncio

import click

from deploy.cli.postgres_failures import said_of_postgres
from deploy.schemas import migrate_all
from shared.settings import load_settings


@click.command()
def migrate() -> None:
    """Apply the migrations that are missing; prints each.

    Safe while the services run, and to be run again: nothing is applied twice.
    """
    settings = load_settings(need=frozenset({"auth_api_database_url", "key_issuer_database_url"}))

    async def main() -> None:
        async for step in migrate_all(settings):
            click.echo(step)
        click.echo("The database is up to date.", err=True)

    with said_of_postgres():
        asyncio.run(main())
