"""`python -m services.auth_api`: the service without the command line."""

from __future__ import annotations

import sys
from typing import Final

from services.auth_api.app import create_app
from services.auth_api.composition import SERVICE
from shared.web.program import run_program

_NEED: Final = frozenset({"auth_api_database_url", "redis_url", "secrets"})

if __name__ == "__main__":
    sys.exit(run_program(create_app, service=SERVICE, port=8101, need=_NEED))
