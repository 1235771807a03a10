"""`latchkey test`: the test-suite on embedded servers."""

from __future__ import annotations

import os

import click

from deploy.cli.options import REPOSITORY

_ONLY_WHEN_ASKED = ("chaos", "benchmark")
_PROCESSES = 4
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
    processes.
    """
    import pytest

    os.chdir(REPOSITORY)
    arguments = list(pytest_args) or ["-n", str(_PROCESSES)]
    if not any(argument.startswith("-m") or argument.split("=")[0] == "--markers" for argument in arguments):
        arguments = ["-m", " and ".join(f"not {name}" for name in _ONLY_WHEN_ASKED), *arguments]
    code = pytest.main(arguments)
    context.exit({pytest.ExitCode.OK: 0, pytest.ExitCode.USAGE_ERROR: 2}.get(pytest.ExitCode(code), 1))
