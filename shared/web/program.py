"""A service as a program of its own, without the command line: `python -m services.NAME`, as a container may run it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Final

from aiohttp import web

from shared.settings import ConfigurationError, Settings, load_settings
from shared.telemetry.logs import configure_logging
from shared.web.server import run

_BAD_CONFIGURATION: Final = 78


def run_program(
    create_app: Callable[[Settings], web.Application], *, service: str, port: int, need: frozenset[str]
) -> int:
    """Serves until SIGINT or SIGTERM; the exit code of the process.

    Args:
        create_app: the service's composition root.
        service: its name, in logs.
        port: where it listens unless told otherwise.
        need: the settings that it cannot do without; see ``load_settings``.
    """
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=port)
    arguments = parser.parse_args()
    try:
        settings = load_settings(need=need)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return _BAD_CONFIGURATION
    configure_logging(level=settings.log_level, log_format=settings.log_format, service=service)
    return run(lambda: create_app(settings), host=arguments.host, port=arguments.port, service=service)
