"""`latchkey test`: the test-suite on embedded servers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import click

from deploy.cli.options import REPOSITORY

_ORDINARY: Final = "not chaos and not benchmark"
_PYTEST_USAGE: Final = 4
_PROCESSES: Final = 4
"""For the whole suite, which waits more than it computes; a part of it, or a debugger, is better off with one."""


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": ["--help"],
    }
)
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def test(context: click.Context, pytest_args: tuple[str, ...]) -> None:
    """Run the tests; arguments are pytest's, as `-k revoke` or `tests/unit`.

    Without `-m`, all but the long ones: `-m chaos` and `-m benchmark` run those. Without any argument, in four
    processes, and at the end, one after the other, what wants the machine for itself.
    """
    os.chdir(REPOSITORY)
    _keep_bytecode()
    if pytest_args:
        context.exit(_run(*pytest_args))
    # In a process of its own, which leaves nothing behind for what comes after it.
    shared = [sys.executable, "-P", "-m", "pytest", "-n", str(_PROCESSES), "-m", f"{_ORDINARY} and not alone"]
    ordinary = _meaning(subprocess.run(shared, check=False).returncode)
    context.exit(_run("-m", f"{_ORDINARY} and alone") or ordinary)


def _keep_bytecode() -> None:
    """Also where Python was told not to: hundreds of processes are started, and each would compile all of it again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _run(*arguments: str) -> int:
    import pytest

    marked = any(argument.startswith("-m") or argument.split("=")[0] == "--markers" for argument in arguments)
    return _meaning(pytest.main([*(() if marked else ("-m", _ORDINARY)), *arguments]))


def _meaning(code: int) -> int:
    """The exit code of this command for one of pytest's: 0 passed, 2 wrong usage, 1 all else."""
    return {0: 0, _PYTEST_USAGE: 2}.get(code, 1)
