"""`latchkey test`: the test-suite on embedded servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Final

import click

from deploy.cli.options import REPOSITORY
from deploy.cli.quick import (
    ALWAYS,
    BROWSER_STORY,
    MOST_FILES,
    UnknownChangesError,
    changed_paths,
    integration_tests_of,
)

_ORDINARY: Final = "not chaos and not benchmark"
_QUICK: Final = f"{_ORDINARY} and not alone and not slow"
ALONE: Final = (
    "tests/containers",
    "tests/chaos/test_hostile_client.py",
    "tests/integration/oauth/test_cost_of_an_exchange.py",
)
"""Where the tests are that want the machine for themselves: while it waits for these alone, none reads all the others."""
COMPUTING: Final = ALWAYS
"""What only computes, in little time and without stores: run at the lowest priority beside those, which wait too."""
_CLEAN_UP_SECONDS: Final = 60.0
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
@click.option("--quick", is_flag=True, help="What to run while you work, within a minute; see above.")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def test(context: click.Context, pytest_args: tuple[str, ...], *, quick: bool) -> None:
    """Run the tests; arguments are pytest's, as `-k revoke` or `tests/unit`.

    Without `-m`, all but the long ones: `-m chaos` and `-m benchmark` run those. Without any argument, in four
    processes, and at the end, one after the other, what wants the machine for itself, with the unit tests in what it
    leaves of it.

    `--quick` runs the unit tests, the integration tests of what has changed since your branch left main (the table is
    in deploy/cli/quick.py), and one story in a browser. It does not replace a whole run.
    """
    os.chdir(REPOSITORY)
    _keep_bytecode()
    if quick:
        context.exit(_run_shared(_QUICK, *_quick_tests(), *pytest_args))
    if pytest_args:
        context.exit(_run(*pytest_args))
    ordinary = _run_shared(f"{_ORDINARY} and not alone", *(f"--ignore={path}" for path in COMPUTING))
    with _beside(*COMPUTING) as computing:
        alone = _run("-m", f"{_ORDINARY} and alone", *ALONE)
    context.exit(ordinary or alone or computing.code)


def _quick_tests() -> list[str]:
    """What `--quick` takes; says on stderr what it leaves out."""
    try:
        concerned = integration_tests_of(changed_paths(REPOSITORY), REPOSITORY)
    except UnknownChangesError:
        raise click.ClickException(
            "--quick asks git what has changed, and this is no git checkout."
        ) from None
    click.echo(
        f"What has changed concerns: {' '.join(concerned[:MOST_FILES]) or 'no integration test'}", err=True
    )
    if left := concerned[MOST_FILES:]:
        click.echo(f"Left to a whole run, since much has changed: {' '.join(left)}", err=True)
    return [*ALWAYS, *concerned[:MOST_FILES], BROWSER_STORY]


@dataclass(slots=True)
class _Beside:
    """A run in the background."""

    code: int = 0
    """How it ended; known when it has."""


@contextmanager
def _beside(*paths: str) -> Iterator[_Beside]:
    """Runs tests at the lowest priority meanwhile; waits for them, and shows what they said once they have ended."""
    command = ["nice", "-n", "19", sys.executable, "-P", "-m", "pytest", "-m", _ORDINARY, *paths]
    beside = _Beside()
    with TemporaryFile() as output:
        # A session of its own: Ctrl-C reaches it once, from here, and it cleans up.
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_heed_interrupts,  # noqa: PLW1509 - there are no threads yet
        )
        try:
            yield beside
            beside.code = _meaning(process.wait())
        finally:
            _interrupt(process)
        output.seek(0)
        click.echo(output.read())


def _heed_interrupts() -> None:
    """Also where a shell, which started this command in the background, had it ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Lets it clean up; nothing if it has ended."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_CLEAN_UP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _run_shared(marks: str, *arguments: str) -> int:
    """Several processes share the tests; in a process of its own, which leaves nothing behind for what comes after it."""
    command = [sys.executable, "-P", "-m", "pytest", "-n", str(_PROCESSES), "-m", marks, *arguments]
    return _meaning(subprocess.run(command, check=False).returncode)


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
