"""`latchkey serve`: one service in this process, as it is deployed."""

from __future__ import annotations

from typing import Final

import click

from deploy.all_in_one import load_service
from deploy.cli.workers import run_workers
from shared.logs import configure_logging
from shared.settings import load_settings
from shared.web.server import run

_PORTS: Final = {"auth-api": 8101, "consent-ui": 8102, "key-issuer": 8103}
_NEEDS: Final = {
    "auth-api": frozenset({"auth_api_database_url", "redis_url", "secrets"}),
    "consent-ui": frozenset({"redis_url", "secrets"}),
    "key-issuer": frozenset({"key_issuer_database_url", "redis_url", "key_peppers"}),
}


@click.command()
@click.argument("name", type=click.Choice(list(_PORTS)))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=None,
    show_default=", ".join(map(str, _PORTS.values())),
    help="The port; 0 takes a free one.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many processes."
)
@click.pass_context
def serve(context: click.Context, name: str, host: str, port: int | None, workers: int) -> None:
    """Run one service until SIGINT or SIGTERM.

    It starts without its stores and waits for them. Configured by LATCHKEY_… in the environment.
    With several workers /metrics answers for the one that happens to be asked.
    """
    settings = load_settings(need=_NEEDS[name])
    service = name.replace("-", "_")
    configure_logging(level=settings.log_level, log_format=settings.log_format, service=service)
    create_app = load_service(service)
    port = _PORTS[name] if port is None else port

    def work() -> int:
        return run(
            lambda: create_app(settings), host=host, port=port, service=service, reuse_port=workers > 1
        )

    context.exit(work() if workers == 1 else run_workers(workers, work))
