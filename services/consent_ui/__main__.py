"""`python -m services.consent_ui`: the service without the command line, as a container may run it."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from services.consent_ui.app import SERVICE, create_app
from shared.logs import configure_logging
from shared.settings import ConfigurationError, load_settings
from shared.web.server import run

_NEEDS: Final = frozenset({"redis_url", "secrets"})
_BAD_CONFIGURATION: Final = 78


def main() -> int:
    """Serves until SIGINT or SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.consent_ui", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8102)
    arguments = parser.parse_args()
    try:
        settings = load_settings(need=_NEEDS)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return _BAD_CONFIGURATION
    configure_logging(level=settings.log_level, log_format=settings.log_format, service=SERVICE)
    return run(lambda: create_app(settings), host=arguments.host, port=arguments.port, service=SERVICE)


if __name__ == "__main__":
    sys.exit(main())
