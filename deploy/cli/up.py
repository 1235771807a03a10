"""`latchkey up`: everything on one port, on embedded servers."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from deploy.all_in_one import create_app
from deploy.cli.options import data_dir_option
from deploy.cli.running import Stop, run_until_stopped
from deploy.embedded import DataDirectory, EmbeddedServers
from deploy.schemas import migrate_all
from shared.process import gc_frozen
from shared.settings import Settings, load_settings
from shared.telemetry.logs import configure_logging
from shared.web.health import READINESS
from shared.web.server import serving

_POLL_SECONDS: Final = 0.05
_OURS: Final = (
    "DATABASE_URL",
    "AUTH_API_DATABASE_URL",
    "KEY_ISSUER_DATABASE_URL",
    "REDIS_URL",
    "SECRET",
    "KEY_PEPPER",
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="The port.")
@data_dir_option
def up(host: str, port: int, data_dir: Path) -> None:
    """Run PostgreSQL, Valkey and the three services, on one port, in one process.

    Stops on SIGINT or SIGTERM; the data stays. The site's address is LATCHKEY_PUBLIC_URL, or else http://HOST:PORT.
    """
    load_settings(_environment(os.environ, {}, host, port))  # what is wrong is said before anything starts
    _check_port(host, port)

    async def main(stop: Stop) -> None:
        directory = DataDirectory(data_dir)
        async with EmbeddedServers.running(directory) as servers:
            settings = load_settings(_environment(os.environ, servers.memory.environment(), host, port))
            configure_logging(level=settings.log_level, log_format=settings.log_format, service="latchkey")
            async for step in migrate_all(settings):
                click.echo(f"Applied {step}", err=True)
            await _serve(settings, directory, host, port, stop)

    configure_logging(level="warning", log_format="console", service="latchkey")
    run_until_stopped(main)


async def _serve(settings: Settings, directory: DataDirectory, host: str, port: int, stop: Stop) -> None:
    with gc_frozen():
        application = create_app(settings)
    async with serving(application, host, port):
        while not (await application[READINESS].report()).ready:
            await asyncio.sleep(_POLL_SECONDS)
        directory.announce(settings.public_url)
        click.echo(f"Latchkey is ready at {settings.public_url}")
        await stop.wait()
        click.echo("Stopping", err=True)


def _environment(
    given: Mapping[str, str], embedded: Mapping[str, str], host: str, port: int
) -> Mapping[str, str]:
    """The configuration of the person, with the stores and secrets of the data directory."""
    ours = {f"LATCHKEY_{name}{suffix}" for name in _OURS for suffix in ("", "_FILE")}
    theirs = {name: value for name, value in given.items() if name not in ours}
    address = f"[{host}]" if ":" in host else host
    defaults = {"LATCHKEY_PUBLIC_URL": f"http://{address}:{port}", "LATCHKEY_LOG_FORMAT": "console"}
    return {**defaults, **theirs, **embedded}


def _check_port(host: str, port: int) -> None:
    """Says so now, rather than after the servers have started, if the port cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(
            f"cannot listen on {host} port {port}: {reason}. Choose another with --port."
        ) from error
