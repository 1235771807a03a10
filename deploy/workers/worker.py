"""One worker: serves an inherited socket, tells its supervisor when it is ready.

usage: python -m deploy.workers.worker SERVICE SOCKET READY NUMBER LINGER AGE FOLDER (the supervisor's own doing)
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.service_table import NEEDS, load_service
from deploy.workers.process import Waits
from shared.process import gc_frozen
from shared.settings import ConfigurationError, load_settings
from shared.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from aiohttp import web

_BAD_CONFIGURATION = 78


def main(service: str, descriptor: int, ready: int, number: int, waits: Waits, folder: Path) -> int:
    """Serves until SIGTERM; the exit code."""
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # a terminal's reaches the whole group; it is the supervisor's
    try:
        settings = load_settings(need=NEEDS[service.replace("_", "-")])
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no logging without a configuration
        return _BAD_CONFIGURATION
    configure_logging(level=settings.log_level, log_format=settings.log_format, service=service)
    with gc_frozen():
        from deploy.workers.shared_metrics import share_metrics
        from shared.web.server import run

        make = load_service(service)

    def create_app() -> web.Application:
        application = make(settings)
        share_metrics(application, number, folder)
        return application

    return run(
        create_app,
        host="",
        port=0,
        service=service,
        listener=socket.socket(fileno=descriptor),
        linger_seconds=waits.linger,
        longest_connection=waits.connection_age or inf,
        on_ready=lambda: _tell(ready),
    )


def _tell(ready: int) -> None:
    os.write(ready, b"r")
    os.close(ready)


if __name__ == "__main__":
    name, listener, pipe, index, seconds, age, place = sys.argv[1:]
    sys.exit(main(name, int(listener), int(pipe), int(index), Waits(float(seconds), float(age)), Path(place)))
