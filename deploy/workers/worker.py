"""One worker: serves an inherited socket, tells its supervisor that its loop turns, and when it is ready.

usage: python -m deploy.workers.worker SERVICE SOCKET PIPE NUMBER LINGER AGE FOLDER (the supervisor's own doing)
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.service_table import NEEDS, load_service
from deploy.workers.process import READY, TURN, Waits
from deploy.workers.stack import write_stack_on_request
from shared.environment import ConfigurationError
from shared.process import gc_frozen
from shared.settings import load_settings
from shared.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from aiohttp import web

_BAD_CONFIGURATION = 78


def main(service: str, descriptor: int, pipe: int, number: int, waits: Waits, folder: Path) -> int:
    """Serves until SIGTERM; the exit code."""
    os.set_blocking(pipe, False)
    write_stack_on_request(folder)
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
        on_ready=lambda: _tell(pipe, READY),
        on_turn=lambda: _tell(pipe, TURN),
    )


def _tell(pipe: int, word: bytes) -> None:
    # Where it cannot be told the supervisor is gone, and so are we in a moment; or it stands still and reads nothing.
    with suppress(OSError):
        os.write(pipe, word)


if __name__ == "__main__":
    name, listener, told, index, seconds, age, place = sys.argv[1:]
    sys.exit(main(name, int(listener), int(told), int(index), Waits(float(seconds), float(age)), Path(place)))
