"""`latchkey …` in the test's own process: the start of a Python is most of what a command costs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from click.testing import CliRunner

from deploy.cli import exit_codes
from deploy.cli.__main__ import latchkey


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it said. What the process logs meanwhile is on stderr too."""

    code: int
    stdout: bytes
    stderr: bytes


async def run_latchkey(*arguments: str, environ: Mapping[str, str], stdin: bytes = b"") -> Ended:
    """Runs a command in a thread, with nothing of Latchkey's configuration but ``environ``."""
    return await asyncio.to_thread(_run, arguments, environ, stdin)


def _run(arguments: Sequence[str], environ: Mapping[str, str], stdin: bytes) -> Ended:
    absent: dict[str, str | None] = {name: None for name in os.environ if name.startswith("LATCHKEY_")}
    before = structlog.get_config()
    try:
        with CliRunner().isolation(input=stdin, env=absent | dict(environ)) as (stdout, stderr, _):
            try:
                code = exit_codes.run(latchkey, arguments)
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else exit_codes.FAILED
            return Ended(code, stdout.getvalue(), stderr.getvalue())
    finally:
        structlog.configure(**before)  # commands choose their own
