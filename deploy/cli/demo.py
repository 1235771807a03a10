"""`latchkey demo`: a sample integrator site beside a running `up`, for a person in a browser or alone in the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from errno import EADDRINUSE
from pathlib import Path
from typing import Final

import click
from aiohttp import web

from deploy.cli.options import data_dir_option
from deploy.cli.running import Stop, run_until_stopped
from deploy.demo_app.app import create_demo
from deploy.demo_app.keys import SITE
from deploy.demo_app.latchkey_api import LatchkeyRefused, LatchkeyUnavailable
from deploy.demo_app.registration import CALLBACK_PATH, issuer_of, register
from deploy.demo_app.walk import WalkFailed, walk
from deploy.embedded import DataDirectory
from shared.clock import SystemClock
from shared.web.server import serving

_DEFAULT_URL: Final = "http://127.0.0.1:8080"
_HOST: Final = "127.0.0.1"
_WHAT_FAILS: Final = (LatchkeyRefused, LatchkeyUnavailable, WalkFailed)


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8090, show_default=True, help="The site's port."
)
@click.option(
    "--url", help=f"Where Latchkey answers; else the `up` of the data directory, or {_DEFAULT_URL}."
)
@click.option("--headless", is_flag=True, help="Walk the whole flow here in the terminal, then stop.")
@data_dir_option
def demo(port: int, url: str | None, data_dir: Path, headless: bool) -> None:
    """Run a sample site, "Epic Games", that links accounts through a running Latchkey.

    It registers itself over the public REST API and keeps its credentials in demo.json in the data directory.
    """

    async def main(stop: Stop | None) -> None:
        async with _site(port, _address(url, data_dir), data_dir / "demo.json") as app:
            if stop is None:
                _say("The site registers with Latchkey", f"client {app[SITE].client_id}")
                await walk(app, _say)
                click.echo("Done: every step went as it should.")
            else:
                click.echo(f"The demo is ready at http://{_HOST}:{port}")
                await stop.wait()

    try:
        if headless:
            asyncio.run(main(None))
        else:
            run_until_stopped(main)
    except _WHAT_FAILS as error:
        raise click.ClickException(str(error)) from error


@asynccontextmanager
async def _site(port: int, api_url: str, credentials: Path) -> AsyncIterator[web.Application]:
    """The site, registered and listening."""
    origin = f"http://{_HOST}:{port}"
    issuer = await issuer_of(api_url)
    registration = await register(api_url, issuer, origin + CALLBACK_PATH, credentials)
    app = create_demo(api_url, registration, origin=origin, clock=SystemClock())
    try:
        async with serving(app, _HOST, port, drain_seconds=1):
            yield app
    except OSError as error:
        if error.errno != EADDRINUSE:
            raise
        raise click.ClickException(f"port {port} is taken; choose another with --port") from error


def _address(url: str | None, data_dir: Path) -> str:
    """Where Latchkey answers: as told, else as a running `up` announced, else where `up` is by default."""
    return (url or DataDirectory(data_dir).announced() or _DEFAULT_URL).rstrip("/")


def _say(step: str, outcome: str) -> None:
    click.echo(f"{click.style('✓', fg='green')} {step}: {outcome}")
