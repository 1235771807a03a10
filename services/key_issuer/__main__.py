"""`python -m services.key_issuer`: the service without the command line."""

from __future__ import annotations

import sys
from typing import Final

from services.key_issuer.app import SERVICE, create_app
from shared.web.program import run_program

_NEED: Final = frozenset({"key_issuer_database_url", "redis_url", "key_peppers"})

if __name__ == "__main__":
    sys.exit(run_program(create_app, service=SERVICE, port=8103, need=_NEED))
