"""`python -m services.consent_ui`: the service without the command line."""

from __future__ import annotations

import sys
from typing import Final

from services.consent_ui.app import SERVICE, create_app
from shared.web.program import run_program

_NEED: Final = frozenset({"redis_url", "secrets"})

if __name__ == "__main__":
    sys.exit(run_program(create_app, service=SERVICE, port=8102, need=_NEED))
