"""`latchkey demo`: a sample integrator site beside a running `up`, for a person in a browser or alone in the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from errno import EADDRINUSE
from pathlib import Path
from typing import Final

import click
from aiohttp import ClientSession, web

from deploy.cli.keys import make_service_key
from deploy.cli.options import data_dir_option
from deploy.cli.running import Stop, run_until_stopped
from deploy.demo_app.app import create_demo
from deploy.demo_app.author_login import SiteLogin
from deploy.demo_app.keys import SITE
from deploy.demo_app.latchkey_api import LatchkeyRefused, LatchkeyUnavailable, may_introspect
from deploy.demo_app.own_login import AUTHOR, HALL, LOGIN_PATH, NAME, PLAYERS, LoginDesk, create_hall
from deploy.demo_app.registration import CALLBACK_PATH, issuer_of, register
from deploy.demo_app.walk import WalkFailed, walk
from deploy.embedded import DataDirectory
from shared.clock import SystemClock
from shared.web.server import serving

_DEFAULT_URL: Final = "http://127.0.0.1:8080"
_HOST: Final = "127.0.0.1"
_KEY_FILE: Final = "demo-service-key"
_GUARD_KEY_FILE: Final = "demo-introspection-key"
_GUARD_NAME: Final = "Epic Games"
_WHAT_FAILS: Final = (LatchkeyRefused, LatchkeyUnavailable, WalkFailed)


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8090, show_default=True, help="The site's port."
)
@click.option(
    "--url", help=f"Where Latchkey answers; else the `up` of the data directory, or {_DEFAULT_URL}."
)
@click.option("--headless", is_flag=True, help="Walk the whole flow here in the terminal, then stop.")
@click.option(
    "--own-login",
    is_flag=True,
    help='Also run "Rhythm Hall", a site with its own users and login, on the next port.',
)
@data_dir_option
def demo(*, port: int, url: str | None, data_dir: Path, headless: bool, own_login: bool) -> None:
    """Run a sample site, "Epic Games", that links accounts through a running Latchkey.

    It registers itself over the public REST API and keeps its credentials in demo.json in the data directory.

    With --own-login people sign in at a second sample site, which keeps the users. Start Latchkey for it like this:
    LATCHKEY_LOGIN_URL=http://127.0.0.1:8091/login ./latchkey up (and, if you like, LATCHKEY_LOCAL_ACCOUNTS=off).
    """
    api_url = _address(url, data_dir)

    async def main(stop: Stop | None) -> None:
        async with AsyncExitStack() as sites:
            login = None
            if hall is not None:
                await sites.enter_async_context(_listening(hall, port + 1))
                login = SiteLogin(hall[HALL].origin + LOGIN_PATH, hall[HALL].service_key, AUTHOR)
            app = await sites.enter_async_context(_site(port, api_url, data_dir, login, guard_key))
            if stop is None:
                _say("The site registers with Latchkey", f"client {app[SITE].client_id}")
                await walk(app, _say, None if hall is None else PLAYERS["zoe"])
                click.echo("Done: every step went as it should.")
            else:
                if hall is not None:
                    click.echo(f"Rhythm Hall, which has the users, is at {hall[HALL].origin}")
                click.echo(f"The demo is ready at http://{_HOST}:{port}")
                await stop.wait()

    hall: web.Application | None = None
    guard_key: str | None = None

    try:
        if DataDirectory(data_dir).announced() == api_url:
            guard_key = _service_key(
                api_url, data_dir / _GUARD_KEY_FILE, _GUARD_NAME, "introspect", may_introspect
            )
        if own_login:
            hall = _hall(api_url, data_dir, f"http://{_HOST}:{port + 1}")
        if headless:
            asyncio.run(main(None))
        else:
            run_until_stopped(main)
    except _WHAT_FAILS as error:
        raise click.ClickException(str(error)) from error


@asynccontextmanager
async def _site(
    port: int, api_url: str, data_dir: Path, login: SiteLogin | None, service_key: str | None
) -> AsyncIterator[web.Application]:
    """The site, registered and listening."""
    origin = f"http://{_HOST}:{port}"
    issuer = await issuer_of(api_url)
    credentials = data_dir / ("demo.json" if login is None else "demo-own-login.json")
    registration = await register(api_url, issuer, origin + CALLBACK_PATH, credentials, login)
    app = create_demo(api_url, registration, origin=origin, clock=SystemClock(), service_key=service_key)
    async with _listening(app, port):
        yield app


@asynccontextmanager
async def _listening(app: web.Application, port: int) -> AsyncIterator[None]:
    try:
        async with serving(app, _HOST, port, drain_seconds=1):
            yield
    except OSError as error:
        if error.errno != EADDRINUSE:
            raise
        raise click.ClickException(f"port {port} is taken; choose another with --port") from error


def _hall(api_url: str, data_dir: Path, origin: str) -> web.Application:
    """The site with its own users, with a service key that it made here as an operator would."""
    service_key = _service_key(api_url, data_dir / _KEY_FILE, NAME, "sign-in", _is_good)
    return create_hall(api_url, asyncio.run(issuer_of(api_url)), service_key, origin=origin)


def _service_key(
    api_url: str,
    file: Path,
    name: str,
    permission: str,
    is_good: Callable[[str, str], Coroutine[None, None, bool]],
) -> str:
    """The one kept in a file of the data directory, or a new one, made as an operator would and kept there."""
    service_key = file.read_text(encoding="ascii").strip() if file.is_file() else ""
    if not service_key or not asyncio.run(is_good(api_url, service_key)):
        memory = DataDirectory(file.parent).recall()
        if memory is None:
            raise click.ClickException(
                f"{file.parent} is not the data directory of a running `./latchkey up`."
            )
        environ = {**memory.environment(), "LATCHKEY_PUBLIC_URL": asyncio.run(issuer_of(api_url))}
        service_key = make_service_key(name, (permission,), environ).token
        file.touch(mode=0o600)
        file.write_text(f"{service_key}\n", encoding="ascii")
    return service_key


async def _is_good(api_url: str, service_key: str) -> bool:
    async with ClientSession() as http:
        return await LoginDesk(http, api_url, service_key).knows_us()


def _address(url: str | None, data_dir: Path) -> str:
    """Where Latchkey answers: as told, else as a running `up` announced, else where `up` is by default."""
    return (url or DataDirectory(data_dir).announced() or _DEFAULT_URL).rstrip("/")


def _say(step: str, outcome: str) -> None:
    click.echo(f"{click.style('✓', fg='green')} {step}: {outcome}")
