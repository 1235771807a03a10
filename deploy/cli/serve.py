"""`latchkey serve`: one service in this process, as it is deployed."""

from __future__ import annotations

from math import inf
from typing import Final

import click

from deploy.service_table import NEEDS, PORTS, load_service
from deploy.workers.process import Waits
from deploy.workers.supervisor import Supervisor
from shared.process import gc_frozen
from shared.settings import load_settings
from shared.telemetry.logs import configure_logging

_LINGER_SECONDS: Final = 5.0
_WATCHDOG_SECONDS: Final = 10.0


@click.command()
@click.argument("name", type=click.Choice(list(PORTS)))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=None,
    show_default=", ".join(map(str, PORTS.values())),
    help="The port; 0 takes a free one.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many processes."
)
@click.option(
    "--linger",
    type=click.FloatRange(0, 60),
    default=None,
    show_default="0, under a supervisor 5",
    help="Seconds for which a process that stops still serves the connections it has: longer than a proxy keeps them idle.",
)
@click.option(
    "--connection-age",
    type=click.FloatRange(0, 3600),
    default=0,
    show_default="no limit",
    help="Seconds after which a connection is closed with its next answer: spreads a proxy's connections over replicas.",
)
@click.option(
    "--watchdog",
    type=click.FloatRange(0, 3600),
    default=None,
    show_default="0, with several workers 10",
    help="Seconds after which a process that answers nothing any more is killed and replaced; 0 for never. "
    "With it a single worker has a supervisor too.",
)
@click.pass_context
def serve(
    context: click.Context,
    name: str,
    host: str,
    port: int | None,
    workers: int,
    linger: float | None,
    connection_age: float,
    watchdog: float | None,
) -> None:
    """Run one service until SIGINT or SIGTERM.

    It starts without its stores and waits for them. Configured by LATCHKEY_… in the environment.
    With several workers, or with --watchdog, SIGHUP replaces them one by one, without losing a request; each reads the
    configuration anew.
    """
    settings = load_settings(need=NEEDS[name])
    service = name.replace("-", "_")
    configure_logging(level=settings.log_level, log_format=settings.log_format, service=service)
    port = PORTS[name] if port is None else port
    if workers > 1 or watchdog:
        waits = Waits(_LINGER_SECONDS if linger is None else linger, connection_age)
        patience = _WATCHDOG_SECONDS if watchdog is None else watchdog
        context.exit(Supervisor(service, host, port, workers, waits, patience).run())
    with gc_frozen():  # here, not above: who starts workers serves nothing and needs none of it
        from shared.web.server import run

        create_app = load_service(service)
    context.exit(
        run(
            lambda: create_app(settings),
            host=host,
            port=port,
            service=service,
            linger_seconds=linger or 0,
            longest_connection=connection_age or inf,
        )
    )
