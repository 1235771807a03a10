"""`latchkey backends` and `latchkey env`: the embedded servers alone, and what a service needs to use them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from deploy.cli.options import data_dir_option
from deploy.cli.running import Stop, run_until_stopped
from deploy.embedded import DataDirectory, EmbeddedServers, is_running
from shared.telemetry.logs import configure_logging


@click.command()
@data_dir_option
def backends(data_dir: Path) -> None:
    """Run PostgreSQL and Valkey until SIGINT or SIGTERM.

    A server that dies is started again. Ports, passwords and secrets stay the same for a data directory;
    `latchkey env` prints them.
    """
    configure_logging(level="info", log_format="console", service="backends")

    directory = DataDirectory(data_dir)

    async def main(stop: Stop) -> None:
        async with EmbeddedServers.running(directory):
            click.echo(f"PostgreSQL and Valkey are ready in {directory.path}", err=True)
            await stop.wait()

    run_until_stopped(main)


@click.command()
@data_dir_option
def env(data_dir: Path) -> None:
    """Print the environment for services on the servers of a data directory.

    For `export $(./latchkey env)`. Fails until both servers accept connections.
    """
    directory = DataDirectory(data_dir)
    memory = directory.recall()
    if memory is None or not asyncio.run(is_running(memory)):
        raise click.ClickException(f"no servers accept connections for {os.fspath(directory.path)}")
    variables = memory.environment()
    if (public_url := directory.announced()) is not None:
        variables["LATCHKEY_PUBLIC_URL"] = public_url
    for name, value in variables.items():
        click.echo(f"{name}={value}")
